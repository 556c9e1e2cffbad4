"""A killed grabber's successor knows; a fresh start doesn't."""

from pathlib import Path

from appliance.capture.running_mark import RunningMark
from appliance.config import CameraConfig


def _camera(serial: str = "1") -> CameraConfig:
    source = {"kind": "genicam", "serial": serial, "producer": "/x.cti"}
    return CameraConfig.model_validate({"name": "cam0", "source": source})


def test_a_fresh_start_finds_no_mark(tmp_path: Path) -> None:
    assert not RunningMark(tmp_path, _camera()).was_left


def test_a_mark_that_stayed_tells_of_a_kill(tmp_path: Path) -> None:
    RunningMark(tmp_path, _camera()).write()

    assert RunningMark(tmp_path, _camera()).was_left


def test_an_orderly_end_leaves_no_mark(tmp_path: Path) -> None:
    mark = RunningMark(tmp_path, _camera())
    mark.write()
    mark.remove()

    assert not RunningMark(tmp_path, _camera()).was_left


def test_another_cameras_mark_means_nothing(tmp_path: Path) -> None:
    RunningMark(tmp_path, _camera("1")).write()

    assert not RunningMark(tmp_path, _camera("2")).was_left
