"""`appliance model quantize` and `model calibration-set`, as people and scripts call them."""

import json
from pathlib import Path

import cv2
import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.modelling import load_bundle
from appliance.testing.convolving_detector import BOX_PX, HEIGHT, WIDTH, frame_with_square, write_convolving_bundle


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a float model and labelled images, YOLO txt; it is the current one."""
    for split in ("val", "test"):
        for kind in ("images", "labels"):
            (tmp_path / f"squares/{kind}/{split}").mkdir(parents=True)
        for place, left in enumerate((None, 0, 8, 16, 24, 40) if split == "val" else (None, 32)):
            frame = frame_with_square(left, seed=place)
            cv2.imwrite(str(tmp_path / f"squares/images/{split}/{split}{place}.png"), frame)
            row = "" if left is None else f"0 {(left + BOX_PX / 2) / WIDTH} 0.5 {BOX_PX / WIDTH} {BOX_PX / HEIGHT}\n"
            (tmp_path / f"squares/labels/{split}/{split}{place}.txt").write_text(row)
    names = "names: [bright, dark]\nval: images/val\ntest: images/test\n"
    (tmp_path / "squares/data.yaml").write_text(names)
    write_convolving_bundle(tmp_path / "models/float")
    write_convolving_bundle(tmp_path / "models/spoiled", hidden_bias=10000.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ends(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def make_set(capsys: pytest.CaptureFixture[str], *more: str) -> None:
    words = (
        "model",
        "calibration-set",
        "squares",
        "--out",
        "calibration/line.toml",
        "--source",
        "us",
        "--licence",
        "ours",
    )
    assert ends(capsys, *words, *more)[0] == ExitCode.OK


def quantise(capsys: pytest.CaptureFixture[str], model: str, *more: str) -> tuple[int, str, str]:
    given = (
        "--calibration",
        "calibration/line",
        "--dataset",
        "squares",
        "--models-dir",
        "models",
        "--methods",
        "minmax",
    )
    return ends(capsys, "model", "quantize", model, *given, *more)


def test_quantise_writes_a_bundle_and_tells_what_it_is_worth(desk, capsys):
    make_set(capsys, "--copy", "--include", "val*")
    code, out, err = quantise(capsys, "float", "--report-split", "test", "--json")
    assert (code, err) == (ExitCode.OK, "")
    told = json.loads(out)
    assert told["within_budget"]
    assert told["reads_uint8"]
    assert told["before"]["map50"] == told["after"]["map50"] == pytest.approx(1.0)
    assert (told["reported"]["split"], told["reported"]["after"]["escapes"]) == ("test", 0)
    assert told["after"]["bytes"] > 0
    assert all(row["factor"] > 0 for row in told["speed"])
    bundle = load_bundle(desk / "models/float-int8")
    assert bundle.quantisation is not None
    assert bundle.quantisation["calibration"]["images"] == 6
    assert (bundle.metrics["val"].ng_parts, bundle.metrics["test"].ng_parts) == (5, 1)


def test_a_model_over_budget_is_refused_and_nothing_is_written(desk, capsys):
    make_set(capsys, "--copy")
    code, out, err = quantise(capsys, "spoiled")
    assert code == ExitCode.MODEL
    assert err.startswith("error: model spoiled: no INT8 network within the budget of 0.5 mAP points; nearest: minmax")
    assert "mAP@0.5" in out
    assert not (desk / "models/spoiled-int8").exists()


def test_the_images_may_lie_elsewhere(desk, capsys):
    make_set(capsys, "--include", "val[0-3].png", "--count", "3")
    code, _, err = quantise(capsys, "float")
    assert (code, "--data DIR" in err) == (ExitCode.CONFIG, True)
    assert quantise(capsys, "float", "--data", "squares", "--as", "fast")[0] == ExitCode.OK
    assert load_bundle(desk / "models/fast").quantisation["calibration"]["images"] == 3


def test_a_name_that_is_taken_is_refused_before_the_work(desk, capsys):
    make_set(capsys, "--copy")
    code, _, err = quantise(capsys, "float", "--as", "spoiled")
    assert (code, "is there already" in err) == (ExitCode.MODEL, True)


@pytest.mark.parametrize(("option", "said"), [("--methods=magic", "expected some of minmax, entropy, percentile")])
def test_an_unknown_method_is_a_wrong_command_line(desk, capsys, option, said):
    make_set(capsys, "--copy")
    code, _, err = quantise(capsys, "float", option)
    assert code == ExitCode.USAGE
    assert said in " ".join(err.replace("│", " ").split())


def test_a_manifest_is_never_overwritten(desk, capsys):
    make_set(capsys)
    code, _, err = ends(
        capsys,
        "model",
        "calibration-set",
        "squares",
        "--out",
        "calibration/line.toml",
        "--source",
        "a",
        "--licence",
        "b",
    )
    assert (code, "new file that ends in .toml" in err) == (ExitCode.CONFIG, True)


def test_no_matching_image_is_an_error_of_the_data_set(desk, capsys):
    code, _, err = ends(
        capsys,
        "model",
        "calibration-set",
        "squares",
        "--out",
        "a.toml",
        "--source",
        "a",
        "--licence",
        "b",
        "--include",
        "x*",
    )
    assert (code, "is --include right?" in err) == (ExitCode.DATASET, True)
