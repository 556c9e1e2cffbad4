import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.box.truth import CameraTruth, Scoreboard, load_truth
from appliance.config import ApplianceConfig
from appliance.errors import ConfigError


def appliance(folder: Path, source: dict[str, Any]) -> ApplianceConfig:
    return ApplianceConfig.model_validate(
        {
            "line": "l",
            "station": "s",
            "recipe": folder / "recipe.toml",
            "models_dir": folder,
            "cameras": [{"name": "cam0", "source": source}],
        }
    )


def write_parts(folder: Path, truth: dict[str, Any]) -> Path:
    for name in ("b.png", "a.png", "c.png"):
        (folder / name).write_bytes(b"an image")
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder


def test_line_triggered_camera_names_its_image_by_the_pulse_number(tmp_path: Path) -> None:
    verdicts = {"a.png": {"verdict": "OK"}, "b.png": {"verdict": "NG"}, "c.png": {"verdict": "OK"}}
    simulator = {"images": write_parts(tmp_path, verdicts), "line_hz": 5}
    features = {"TriggerMode": "On", "TriggerSource": "Line0"}
    source = {"kind": "genicam", "serial": "1", "simulator": simulator, "features": features}
    truth = load_truth(appliance(tmp_path, source))["cam0"]
    assert [truth.verdict_of({"encoder_count": n, "frame_id": 77}) for n in (0, 1, 2, 3, 4)] == [
        *("OK", "NG", "OK"),
        *("OK", "NG"),
    ]
    assert truth.verdict_of({"encoder_count": None, "frame_id": 3}) is None


def test_replayed_folder_names_its_image_by_frame_id_from_1(tmp_path: Path) -> None:
    write_parts(tmp_path, {"a.png": {"verdict": "NG"}, "c.png": {"verdict": "OK"}})
    truth = load_truth(appliance(tmp_path, {"kind": "folder", "images": tmp_path}))["cam0"]
    assert [truth.verdict_of({"encoder_count": None, "frame_id": n}) for n in (1, 2, 3, 4)] == ["NG", None, "OK", "NG"]


def test_camera_without_a_truth_file_has_no_truth(tmp_path: Path) -> None:
    assert load_truth(appliance(tmp_path, {"kind": "folder", "images": tmp_path})) == {}


@pytest.mark.parametrize(
    "truth",
    [{"a.png": {"verdict": "GOOD"}}, {"a.png": "OK"}, {"z.png": {"verdict": "OK"}}, ["a.png"]],
    ids=["unknown verdict", "no verdict key", "image not there", "a list"],
)
def test_broken_truth_file_is_refused_with_its_path(tmp_path: Path, truth: Any) -> None:
    write_parts(tmp_path, truth)
    with pytest.raises(ConfigError, match=r"truth\.json"):
        load_truth(appliance(tmp_path, {"kind": "folder", "images": tmp_path}))


@dataclass(frozen=True)
class Case:
    verdict: str
    truth: str
    mark: str
    line: str


@pytest.mark.parametrize(
    "case",
    [
        Case("OK", "NG", "ESCAPE", "escapes 1 of 1 NG parts (0 NG parts were UNKNOWN)"),
        Case("NG", "OK", "FALSE REJECT", "false rejects 1 of 1 OK parts (0 were UNKNOWN)"),
        Case("UNKNOWN", "NG", "UNKNOWN", "escapes 0 of 1 NG parts (1 NG parts were UNKNOWN)"),
        Case("UNKNOWN", "OK", "UNKNOWN", "false rejects 0 of 1 OK parts (1 were UNKNOWN)"),
        Case("NG", "NG", "OK", "escapes 0 of 1 NG parts (0 NG parts were UNKNOWN)"),
        Case("OK", "OK", "OK", "false rejects 0 of 1 OK parts (0 were UNKNOWN)"),
    ],
    ids=lambda case: f"{case.verdict} said of {case.truth}",
)
def test_each_part_is_counted_on_its_own_side(case: Case) -> None:
    board = Scoreboard()
    assert board.add(case.verdict, case.truth) == case.mark
    assert case.line in board.lines()


def test_images_without_truth_stay_unjudged() -> None:
    assert CameraTruth((None,), is_line_triggered=True).verdict_of({"encoder_count": 5}) is None
