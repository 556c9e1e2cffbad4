import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.testing.tiny_detector import write_tiny_bundle

KEYS = {
    "map50",
    "map50_95",
    "per_class",
    "escapes",
    "ng_parts",
    "escape_rate",
    "escape_rate_ci95",
    "false_rejects",
    "ok_parts",
    "false_reject_rate",
    "false_reject_rate_ci95",
    "map50_ci95",
    "map50_95_ci95",
}


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Path:
    """A folder with models/tiny and a YOLO set: two parts with a bright cell, two without, one of them grey."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    Path("models").mkdir()
    write_tiny_bundle(Path("models/tiny"), fit="stretch")
    Path("set").mkdir()
    Path("set/classes.txt").write_text("spot\n")
    for number, grey in enumerate((250, 180, 20, 150)):
        pixels = np.full((48, 64), 20, np.uint8)
        pixels[16:32, 16:32] = grey
        assert cv2.imwrite(f"set/{number}.png", pixels)
        Path(f"set/{number}.txt").write_text("0 0.375 0.5 0.25 0.333333\n" if number < 2 else "")
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["model", *arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_evaluate_prints_the_figures_as_json_and_writes_the_page(bench, capsys):
    code, out, _ = run(capsys, "evaluate", "tiny", "set", "--map", "spot=bright", "--json", "--html", "report.html")
    figures = json.loads(out)
    assert code == ExitCode.OK
    assert figures.keys() >= KEYS
    assert (figures["map50"], figures["escapes"], figures["false_rejects"]) == (1.0, 0, 1)
    assert figures["model"]["name"] == "tiny"
    assert figures["dataset"]["format"] == "yolo"
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_evaluate_shows_tables_to_people(bench, capsys):
    code, out, _ = run(capsys, "evaluate", "models/tiny", "set", "--classes", "bright", "--score", "0.6")
    assert code == ExitCode.OK
    assert "0 of 2 NG parts" in out
    assert "0 of 2 OK parts" in out


def test_class_that_the_model_does_not_know_ends_with_one_line(bench, capsys):
    code, _, err = run(capsys, "evaluate", "tiny", "set")
    assert code == ExitCode.DATASET
    assert err.startswith(
        "error: data set set: the model knows no class 'spot'; the set has 'spot', the model 'bright'"
    )
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("evaluate", "big", "set"), ExitCode.MODEL, "no such bundle in models; there: tiny"),
        (("evaluate", "tiny", "nowhere"), ExitCode.DATASET, "data set nowhere: no such folder"),
        (("evaluate", "tiny", "set", "--recipe", "no.toml"), ExitCode.CONFIG, "no.toml: no such file"),
        (("evaluate", "tiny", "set", "--html", "a.png"), ExitCode.USAGE, "expected a file name ending in .html"),
        (("evaluate", "tiny", "set", "--map", "spot"), ExitCode.USAGE, "expected SET_NAME=MODEL_NAME"),
        (("threshold", "tiny", "set", "--class", "spot"), ExitCode.USAGE, "tiny has bright, dark"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_done_ends_with_the_named_code(bench, capsys, arguments, code, told):
    ended, _, err = run(capsys, *arguments)
    assert ended == code
    assert told in " ".join(err.replace("│", " ").split())


def test_compare_prints_a_verdict(bench, capsys):
    code, out, _ = run(capsys, "compare", "tiny", "tiny", "set", "--map", "spot=bright", "--json", "--html", "c.html")
    figures = json.loads(out)
    assert code == ExitCode.OK
    assert figures["verdict"].startswith("No difference can be shown in")
    assert figures["a"].keys() >= KEYS
    assert Path("c.html").exists()


def test_threshold_recommends_a_score_that_keeps_the_limits(bench, capsys):
    limits = ("--max-escape-rate", "0", "--max-false-reject-rate", "0")
    code, out, err = run(capsys, "threshold", "tiny", "set", "--map", "spot=bright", *limits, "--json")
    advice = json.loads(out)
    assert code == ExitCode.OK
    assert 150 / 255 < advice["recommended"]["score"] < 180 / 255
    assert "more parts would tell" in err


def test_threshold_without_a_way_out_fails_the_check(bench, capsys):
    Path("set/2.txt").write_text("0 0.375 0.5 0.25 0.333333\n")
    code, out, err = run(
        capsys, "threshold", "tiny", "set", "--map", "spot=bright", "--max-escape-rate", "0",
        "--max-false-reject-rate", "0",
    )  # fmt: skip
    assert code == ExitCode.CHECK_FAILED
    assert "model's" in out
    assert "error: no score keeps the limits" in err
