"""The watcher over a real journal: what it reads, raises, shows, ends, and still knows after its death."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.cli.app import main
from appliance.clock import rfc3339
from appliance.config import ApplianceConfig, DriftConfig, load
from appliance.learning.drift.acceptance import Acceptance, write_acceptance
from appliance.learning.drift.history import US_PER_HOUR, Cursor, History
from appliance.learning.drift.profiling import add_profile, profile_of
from appliance.learning.drift.signals import Sample
from appliance.learning.drift.status import drift_dir, drift_status
from appliance.learning.drift.watcher import DriftWatcher
from appliance.records.journal import Journal
from appliance.tally import SpoolReader
from appliance.tally.spool import DRIFT
from appliance.testing.journal_records import LEDGER_EPOCH
from appliance.testing.tiny_detector import write_tiny_bundle

NOON_NS = 1_700_000_000 * 10**9 // (24 * 3600 * 10**9) * (24 * 3600 * 10**9) + 12 * 3600 * 10**9
HOUR_NS = 3600 * 10**9
RECIPE = """
name = "tabs"
version = 1
model = "one"
deadline_ms = 100
[evidence]
mean_grey_min = 5
mean_grey_max = 254
sharpness_min = 0
[classes.bright]
score = 0.9
[classes.dark]
score = 0.9
"""
CONFIG = """
line = "line1"
station = "desk"
recipe = "recipe.toml"
models_dir = "models"
runtime_dir = "run"
state_dir = "state"
[drift]
window_parts = 20
window_minutes = 1
reference_gap_hours = 2
reference_hours_min = 2
reference_parts_min = 100
[[cameras]]
name = "cam0"
source = { kind = "folder", images = "." }
"""


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


class Plant:
    """A journal that a test writes as the recorder would, a clock, and the watcher."""

    def __init__(self, folder: Path) -> None:
        self.bundle = write_tiny_bundle(folder / "models/one")
        (folder / "recipe.toml").write_text(RECIPE)
        (folder / "appliance.toml").write_text(CONFIG)
        (folder / "run").mkdir(mode=0o700)
        self.config: ApplianceConfig = load(folder / "appliance.toml")
        self.now_ns = NOON_NS
        self.journal = Journal.open(self.config.state_dir / "journal", clock=lambda: self.now_ns)
        self.watcher = self.watch()
        self.watcher.step()
        self._number = 0

    def watch(self) -> DriftWatcher:
        """Start another watcher."""
        return DriftWatcher(self.config, clock=lambda: self.now_ns)

    def parts(self, count: int, *, light: float = 120.0, is_stored: bool = True, **changes: Any) -> None:
        """Journal parts that were exposed one after another until now, and let the watcher look."""
        records = []
        for place in range(count):
            self._number += 1
            at_ns = self.now_ns - (count - 1 - place) * 10**9 * 5
            records.append(self.record(self._number, at_ns, light + self._number % 3, is_stored=is_stored) | changes)
        self.journal.append(records)
        while self.watcher.step():
            pass

    def record(self, number: int, at_ns: int, light: float, *, is_stored: bool) -> dict[str, Any]:
        """Make an inspection's record of one view."""
        view = {"camera": "cam0", "view": "whole"}
        path = f"ok/{number}.png"
        if is_stored:
            (self.config.state_dir / "images/ok").mkdir(parents=True, exist_ok=True)
            (self.config.state_dir / "images" / path).touch()
        evidence = {"mean_grey": light, "saturated_fraction": 0.0, "sharpness": 6.0}
        return {
            "kind": "inspection",
            "ledger_epoch": LEDGER_EPOCH,
            "inspection_id": number,
            "views": [view | {"trigger_id": number}],
            "verdict": "OK",
            "finding": [view | {"verdict": "OK", "reason": None, "detail": None, "evidence": evidence}],
            "defects": [],
            "near_misses": [],
            "model": {"name": "one", "sha256": self.bundle.sha256},
            "recipe": {"name": "tabs", "version": 1, "sha256": "ab" * 32},
            "captured_at": rfc3339(at_ns),
            "image": {"views": [view | {"path": path}], "missing": []} if is_stored else None,
        }

    def events(self) -> list[tuple[str, str, str]]:
        """Say what the watcher spooled: event, signal, reference."""
        return [(one["event"], one["signal"], one["reference"]) for one in self.spooled()]

    def spooled(self) -> list[dict[str, Any]]:
        """Give the records as the recorder gets them."""
        reader = SpoolReader(self.config.runtime_dir, DRIFT)
        records = [json.loads(entry.body) for entry in reader.read(100)]
        reader.close()
        return records

    def alarms(self) -> list[dict[str, Any]]:
        """Say which alarms status shows."""
        alarms: list[dict[str, Any]] = drift_status(self.config, self.watcher.status())["alarms"]
        return alarms

    def close(self) -> None:
        """Let go of everything."""
        self.watcher.close()
        self.journal.close()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path)
    yield plant
    plant.close()


@pytest.fixture
def last_week(plant: Plant) -> Plant:
    """A plant with some hours of parts that are all alike, then two hours' gap."""
    for _ in range(4):
        plant.parts(80)
        plant.now_ns += HOUR_NS
    plant.now_ns += 2 * HOUR_NS
    plant.parts(40)
    assert plant.events() == []
    return plant


def test_darker_parts_than_last_week_raise_an_alarm_and_usual_ones_end_it(last_week: Plant) -> None:
    last_week.parts(40, light=90)
    assert last_week.events() == [("raised", "brightness", "last_week")]
    alarm = last_week.alarms()[0]
    assert (alarm["current"], alarm["expected"]) == (91.0, 121.0)
    assert [one["value"] < 95 for one in alarm["deviating"]] == [True] * 4
    assert [one["value"] > 119 for one in alarm["typical"]] == [True] * 4
    assert all(one["is_there"] for one in alarm["deviating"] + alarm["typical"])
    last_week.parts(40, light=90)
    last_week.parts(40)
    assert last_week.events()[1:] == [("cleared", "brightness", "last_week")]
    assert last_week.alarms() == []
    last_week.journal.append(last_week.spooled())


def test_pictures_that_were_not_stored_are_named_as_missing(last_week: Plant) -> None:
    last_week.parts(40, light=90, is_stored=False)
    deviating = last_week.alarms()[0]["deviating"]
    assert deviating
    assert {(one["path"], one["is_there"]) for one in deviating} == {(None, False)}


def test_rejects_and_doubts_are_rates(last_week: Plant) -> None:
    view = {"camera": "cam0", "view": "whole"}
    finding = [view | {"verdict": "NG", "reason": None, "detail": None, "evidence": None}]
    last_week.parts(40, verdict="NG", finding=finding, defects=[view | {"class_name": "burr", "score": 0.9}])
    assert {one["signal"] for one in last_week.alarms()} == {"ng_rate", "class_rate:burr"}
    last_week.parts(40, verdict="UNKNOWN", finding=[finding[0] | {"verdict": "UNKNOWN", "reason": "late"}])
    assert "unknown_rate" in {one["signal"] for one in last_week.alarms()}


def test_what_training_never_showed_is_drift_without_any_last_week(plant: Plant) -> None:
    random = np.random.default_rng(1)
    pictures = [random.normal(122, 12, (48, 64)).astype(np.uint8) for _ in range(60)]
    add_profile(plant.config.models_dir / "one", profile_of(pictures, [0.0] * 60, made_from="noise"))
    plant.parts(40)
    told = drift_status(plant.config, plant.watcher.status())["comparisons"]
    brightness = [one for one in told if one["signal"] == "brightness"]
    assert [one["reference"] for one in brightness if one["value"] is None] == ["last_week"]
    assert "hours that are needed" in brightness[1]["trouble"]
    plant.parts(40, light=60)
    assert ("raised", "brightness", "training") in plant.events()


def test_a_model_without_profile_is_compared_with_last_week_only_and_says_so(last_week: Plant) -> None:
    told = drift_status(last_week.config, last_week.watcher.status())["comparisons"]
    troubles = {one["trouble"] for one in told if one["reference"] == "training"}
    assert len(troubles) == 1
    assert "no profile" in str(troubles.pop())
    assert all(one["value"] is not None for one in told if one["reference"] == "last_week")


def test_another_model_ends_alarms_about_the_old_ones_scores_only(last_week: Plant) -> None:
    view = {"camera": "cam0", "view": "whole"}
    last_week.parts(40, light=90, near_misses=[view | {"class_name": "burr", "score": 0.8}])
    assert {one["signal"] for one in last_week.alarms()} == {"brightness", "score"}
    last_week.parts(1, model={"name": "two", "sha256": "cd" * 32})
    assert {one["signal"] for one in last_week.alarms()} == {"brightness"}


def test_a_killed_watcher_counts_nothing_twice_and_knows_its_alarms(last_week: Plant) -> None:
    last_week.parts(40, light=90)
    raised_at = last_week.alarms()[0]["raised_at"]
    views = last_week.watcher._history.hours_of(("tabs", "cam0", "whole"))
    counted = sum(bucket.views for _, _, bucket in views)
    for _ in range(2):  # one that had saved, one that was killed before it could
        last_week.watcher._spool.close()
        last_week.watcher = last_week.watch()
        last_week.watcher.step()
        views = last_week.watcher._history.hours_of(("tabs", "cam0", "whole"))
        assert sum(bucket.views for _, _, bucket in views) == counted
        last_week.watcher._history.save()
    assert [one["raised_at"] for one in last_week.alarms()] == [raised_at]
    last_week.parts(40, light=90)
    assert last_week.events() == [("raised", "brightness", "last_week")]


def test_what_a_person_accepts_is_no_alarm_and_last_week_no_reference(last_week: Plant) -> None:
    last_week.parts(40, light=90)
    raised = Acceptance.model_validate({"since": rfc3339(last_week.now_ns), "by": "jo", "camera": "cam0"})
    write_acceptance(drift_dir(last_week.config.state_dir), raised)
    last_week.parts(40, light=90)
    assert last_week.events() == [("raised", "brightness", "last_week"), ("cleared", "brightness", "last_week")]
    told = drift_status(last_week.config, last_week.watcher.status())["comparisons"]
    assert all(one["value"] is None for one in told)


def test_a_camera_that_is_configured_no_more_has_no_alarm(last_week: Plant) -> None:
    last_week.parts(40, light=90)
    last_week.watcher.close()
    (other,) = (camera.model_copy(update={"name": "cam1"}) for camera in last_week.config.cameras)
    last_week.config = last_week.config.model_copy(update={"cameras": (other,)})
    last_week.watcher = last_week.watch()
    last_week.watcher.step()
    assert last_week.alarms() == []


def test_a_full_disk_stops_no_counting(last_week: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for module in ("history", "alarms"):
        monkeypatch.setattr(f"appliance.learning.drift.{module}.write_bytes", refuse)
    last_week.parts(40, light=90)
    last_week.watcher._save()
    assert last_week.events() == [("raised", "brightness", "last_week")]


def sample(hour: int, seq: int) -> Sample:
    return Sample(("tabs", "cam0", "whole"), "a.b", seq, hour * US_PER_HOUR, "", {}, "OK", frozenset(), None)


def hours(history: History) -> dict[int, int]:
    return {hour: bucket.views for hour, _, bucket in history.hours_of(("tabs", "cam0", "whole"))}


def filled(folder: Path, at: Callable[[int], int], parts: int = 60, keep_hours: int = 48) -> History:
    history = History(folder, keep_hours)
    for seq in range(parts):
        history.add(sample(at(seq), seq))
        history.cursor = Cursor("e", seq)
    history.save()
    return history


def test_hours_survive_a_restart_and_old_ones_go_with_their_files(tmp_path: Path) -> None:
    history = filled(tmp_path, lambda seq: 1000 + 2 * seq)
    again = History(tmp_path, keep_hours=48)
    again.load()
    assert hours(again) == hours(history)
    assert min(hours(again)) == 1000 + 118 - 46
    assert again.cursor == Cursor("e", 59)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_record_that_comes_late_is_counted_in_the_newest_hour(tmp_path: Path) -> None:
    assert hours(filled(tmp_path, lambda seq: 1000 - seq, parts=5)) == {1000: 5}


def test_a_damaged_day_is_left_out(tmp_path: Path) -> None:
    filled(tmp_path, lambda seq: 1000 + seq)
    newest = max(tmp_path.iterdir())
    newest.write_text(newest.read_text()[:-20])
    again = History(tmp_path, keep_hours=48)
    again.load()
    assert max(hours(again)) < 1059
    assert again.cursor.seq < 59  # the rows of the lost hours are read again


def test_a_clock_that_was_ahead_leaves_no_hours_in_the_future(tmp_path: Path) -> None:
    history = filled(tmp_path, lambda seq: 1000 + seq // 10 * 24, keep_hours=480)
    history.forget_from(1030)
    assert max(hours(history)) == 1024
    assert DriftConfig().enabled


def test_people_see_figures_alarms_pictures_and_a_page(
    last_week: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last_week.parts(40, light=90)
    last_week.watcher._save()
    said = {"pid": os.getpid(), "at_monotonic_ns": time.monotonic_ns(), **last_week.watcher.status()}
    (last_week.config.runtime_dir / "status.drift.json").write_text(json.dumps(said))
    config = ["--config", str(tmp_path / "appliance.toml")]
    run("drift", "show", *config)
    shown = capsys.readouterr().out
    assert "cam0/whole, recipe tabs: brightness drifts against last week: 91, there 121 (distance 1.00" in shown
    assert shown.count("not compared with training pictures: ") == 1
    assert shown.count("  deviating: ") == shown.count("  typical: ") == 4
    run("drift", "show", *config, "--json")
    assert json.loads(capsys.readouterr().out)["alarms"][0]["signal"] == "brightness"
    run("drift", "report", *config, "--json", "--html", str(tmp_path / "drift.html"))
    told = json.loads(capsys.readouterr().out)
    distributions = told["streams"][0]["distributions"]["brightness"]
    assert sum(distributions["last_week"].values()) == 320
    assert sum(hour["views"] for hour in told["streams"][0]["course"]) == 400
    html = (tmp_path / "drift.html").read_text()
    assert "newest parts" in html
    assert html.count("<svg") >= 8
    run("drift", "accept", *config, "--camera", "cam0")
    assert "no reference any more" in capsys.readouterr().out
    last_week.watcher.step()
    assert last_week.alarms() == []


def test_a_box_that_never_watched_says_so(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(tmp_path / "appliance.toml")]
    run("drift", "show", *config)
    assert "the watcher is down" in capsys.readouterr().out
    run("drift", "report", *config, "--html", str(tmp_path / "drift.html"))
    assert "nothing drifts" in (tmp_path / "drift.html").read_text()
    assert plant.alarms() == []
