import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from appliance.capture.simcam import settings
from appliance.capture.simcam.build import SOURCE_FOLDER
from appliance.capture.simcam.settings import SimulatedCamera
from appliance.errors import ConfigError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    assert cv2.imwrite(str(folder / "a.png"), np.zeros((8, 8), np.uint8))
    return folder


def camera(images: Path, **changed: Any) -> SimulatedCamera:
    fields: dict[str, Any] = {"serial": "SIM-0", "images": images, "state": images.parent / "sim-0.state", **changed}
    return SimulatedCamera(**fields)


def test_every_field_is_written_under_its_name(images: Path, tmp_path: Path) -> None:
    (pack,) = settings.write(tmp_path / "cameras.txt", [camera(images, line_hz=20, drift_ppm=-1.5)])
    text = (tmp_path / "cameras.txt").read_text()
    written = dict(re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE))
    assert "[camera SIM-0]" in text
    assert written["pack"] == str(pack.path)
    assert (written["line_hz"], written["drift_ppm"], written["pixel_format"]) == ("20", "-1.5", "Mono8")
    assert set(written) == {field.name for field in fields(SimulatedCamera)} - {"serial", "images"} | {"pack"}


def test_python_and_c_know_the_same_keys_limits_and_defaults() -> None:
    source = (SOURCE_FOLDER / "settings.c").read_text()
    in_c = {
        key: (float(least), float(most))
        for key, least, most in re.findall(r'\{"(\w+)", offsetof\([^)]*\), (\S+), (\S+)\},', source)
        if key not in {"model", "pack", "state"}
    }
    assert in_c == {key: (float(least), float(most)) for key, (least, most) in settings._LIMITS.items()}
    defaults = {field.name: field.default for field in fields(SimulatedCamera)}
    power_on = source.partition("power_on = {")[2].partition("};")[0]
    for key, value in re.findall(r"\.(\w+) = ([\d.]+),", power_on):
        assert float(value) == defaults[key], key


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("serial", "", "1 to 63 characters"),
        ("serial", "A]\n[camera B", "1 to 63 characters"),
        ("pixel_format", "Mono12", "expects one of Mono8, Mono16, RGB8, BayerRG8, got 'Mono12'"),
        ("line_hz", -1.0, "line_hz expects 0 to 10000, got -1.0"),
        ("exposure_time_us", float("nan"), "exposure_time_us expects"),
        ("frame_rate_hz", 900.0, "above frame_rate_max_hz"),
        ("model", " ", "model expects"),
    ],
)
def test_impossible_values_are_refused(images: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        camera(images, **{field: value})


def test_cameras_may_share_images_but_neither_serial_nor_state(images: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.state"
    packs = settings.write(tmp_path / "a.txt", [camera(images), camera(images, serial="SIM-1", state=other)])
    assert packs[0].path == packs[1].path
    with pytest.raises(ConfigError, match="share a serial number: SIM-0"):
        settings.write(tmp_path / "b.txt", [camera(images), camera(images, state=other)])
    with pytest.raises(ConfigError, match="share a state file"):
        settings.write(tmp_path / "b.txt", [camera(images), camera(images, serial="SIM-1")])
    assert not (tmp_path / "b.txt").exists()


def test_packs_go_to_the_cache_that_was_asked_for(images: Path, tmp_path: Path) -> None:
    (pack,) = settings.write(tmp_path / "run" / "cameras.txt", [camera(images)], tmp_path / "cache")
    assert pack.path.parent == tmp_path / "cache"
