"""Pictures get darker and come back, before a whole appliance: who watches for drift says so, shows it, and ends it."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from appliance.box.health_metrics import metrics_text
from appliance.box.health_report import readiness
from appliance.learning.datasets import read_image
from appliance.learning.drift.profiling import add_profile, profile_of
from appliance.ring import Pixels
from appliance.testing.tiny_detector import write_tiny_bundle
from appliance.testing.whole_appliance import WholeAppliance

pytestmark = pytest.mark.timeout(400)  # many processes are started and waited for

WIDTH, HEIGHT = 64, 48
NORMAL, DARKER = 50, 50
LONG_S = 150.0
"""A busy machine shows a few of these pictures a second."""
RECIPE = """
name = "grey"
version = 1
model = "one"
deadline_ms = 5000
ok_image_rate = 1.0
[evidence]
mean_grey_min = 5
mean_grey_max = 254
sharpness_min = 0
[classes.bright]
score = 0.9
[classes.dark]
score = 0.9
"""
DRIFT = """
[drift]
window_parts = 20
window_minutes = 0.01
"""


def picture(seed: int, light: float) -> Pixels:
    noise = np.random.default_rng(seed).normal(130, 12, (HEIGHT, WIDTH))
    return np.clip(noise * light, 0, 255).astype(np.uint8)


def write_pictures(folder: Path) -> None:
    """Normal ones, then step by step darker ones, then again from the start."""
    folder.mkdir()
    lights = [*np.ones(NORMAL), *np.linspace(1.0, 0.3, DARKER)]
    for number, light in enumerate(lights):
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture(number, light))


def of_brightness(whole: WholeAppliance, event: str) -> list[dict[str, Any]]:
    return [
        one
        for one in whole.results
        if one["kind"] == "drift_event" and one["event"] == event and one["signal"] == "brightness"
    ]


def test_slow_darkening_raises_an_alarm_with_pictures_and_light_that_comes_back_ends_it(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    write_tiny_bundle(tmp_path / "models/one", width=WIDTH, height=HEIGHT)
    training = [picture(1000 + number, 1.0) for number in range(NORMAL)]
    add_profile(tmp_path / "models/one", profile_of(training, [0.0] * NORMAL, made_from="grey noise"))
    with WholeAppliance(
        tmp_path,
        line_hz=10,
        more=DRIFT,
        models_dir=tmp_path / "models",
        recipe=RECIPE,
        images=tmp_path / "pictures",
    ) as whole:
        whole.follow(lambda: of_brightness(whole, "raised"), patience_s=LONG_S)
        assert_status_and_metrics_tell_it(whole)
        assert_pictures_show_it(whole, of_brightness(whole, "raised")[0])
        whole.follow(lambda: of_brightness(whole, "cleared"), patience_s=LONG_S)
        raised, cleared = of_brightness(whole, "raised")[0], of_brightness(whole, "cleared")[0]
        assert raised["event_id"] < cleared["event_id"]
        assert (raised["reference"], raised["measure"], raised["sent_verdict"]) == ("training", "outside_share", None)
        whole.follow(lambda: "brightness" not in {one["signal"] for one in whole.status()["drift"]["alarms"]})


def assert_status_and_metrics_tell_it(whole: WholeAppliance) -> None:
    status = status_with_alarm(whole)
    alarm = next(one for one in status["drift"]["alarms"] if one["signal"] == "brightness")
    assert (alarm["camera"], alarm["recipe"], alarm["reference"]) == ("cam0", "grey", "training")
    metrics = metrics_text(status).decode()
    labels = 'camera="cam0",recipe="grey",reference="training",signal="brightness",view="whole"'
    assert f"appliance_drift_alarm{{{labels}}} 1.0" in metrics
    assert f"appliance_drift_limit{{{labels}}} 0." in metrics
    assert not [why for why in readiness(status).content["not_ready_because"] if "drift" in why]


def status_with_alarm(whole: WholeAppliance) -> dict[str, Any]:
    """The pictures come round, so it comes again."""
    found: list[dict[str, Any]] = []

    def is_told() -> bool:
        status = whole.status()
        alarms = {one["signal"] for one in status["drift"]["alarms"]}
        compared = {one["signal"] for one in status["drift"]["comparisons"]}
        if "brightness" in alarms & compared:
            found.append(status)
        return bool(found)

    whole.follow(is_told, patience_s=LONG_S)
    return found[0]


def assert_pictures_show_it(whole: WholeAppliance, raised: dict[str, Any]) -> None:
    """A busy recorder skips pictures, and says so; those that it names are there, and as bright as it says."""
    assert raised["deviating"]
    assert all(one["value"] < 126 for one in raised["deviating"])
    assert all(one["value"] > 126 for one in raised["typical"])
    for one in raised["deviating"] + raised["typical"]:
        if one["path"] is not None:
            pixels, _ = read_image(whole.config.state_dir / "images" / one["path"])
            assert abs(float(np.mean(pixels)) - one["value"]) < 2
