import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.learning.datasets import read_dataset
from appliance.testing.tiny_detector import write_tiny_bundle


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Path:
    """A folder with models/tiny, two images and a YOLO set of them: one with a box, one without."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    Path("models").mkdir()
    write_tiny_bundle(Path("models/tiny"), fit="stretch")
    for folder in (Path("set"), Path("plain")):
        folder.mkdir()
        for number, grey in enumerate((250, 20)):
            pixels = np.full((48, 64), 20, np.uint8)
            pixels[16:32, 16:32] = grey
            assert cv2.imwrite(str(folder / f"{number}.png"), pixels)
    Path("set/classes.txt").write_text("spot\n")
    Path("set/0.txt").write_text("0 0.375 0.5 0.25 0.333333\n")
    Path("set/1.txt").write_text("")
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["dataset", *arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_convert_writes_the_set_and_tells_scripts_what(bench, capsys):
    code, out, _ = run(capsys, "convert", "set", "--to", "voc", "--out", "new", "--lock", "ids.toml", "--json")
    assert code == ExitCode.OK
    assert json.loads(out) == {
        "folder": "new", "format": "voc", "images": 2, "splits": {"all": 2}, "boxes": {"spot": 1},
        "class_ids": {"spot": 0}, "notes": ["1 boxes were rounded to whole px, as labelImg has them"],
    }  # fmt: skip
    assert Path("ids.toml").read_text() == Path("new/classes.lock.toml").read_text()
    assert read_dataset(Path("new")).images[0].boxes.tolist() == [[16, 16, 32, 32]]


def test_lock_file_keeps_ids_from_one_conversion_to_the_next(bench, capsys):
    Path("ids.toml").write_text("[classes]\nburr = 0\n")
    code, out, _ = run(capsys, "convert", "set", "--to", "coco", "--out", "new", "--lock", "ids.toml", "--json")
    assert (code, json.loads(out)["class_ids"]) == (ExitCode.OK, {"burr": 0, "spot": 1})
    assert "spot" in Path("ids.toml").read_text()


def test_convert_shows_classes_and_notes_to_people(bench, capsys):
    code, out, err = run(capsys, "convert", "set", "--to", "yolo", "--out", "new")
    assert code == ExitCode.OK
    assert "new: 2 images as yolo" in out
    assert err == "note: the set has no splits: data.yaml calls all of it train\n"


def test_check_of_a_sound_set_ends_with_0(bench, capsys):
    code, out, _ = run(capsys, "check", "set")
    assert code == ExitCode.OK
    assert "0 errors, 0 warnings" in out


def test_check_names_file_and_line_and_ends_with_its_code(bench, capsys):
    Path("set/1.txt").write_text("0 0.5 0.5 0.1 0.1\n4 0.5 0.5 0.1 0.1\n")
    code, out, _ = run(capsys, "check", "set")
    assert code == ExitCode.CHECK_FAILED
    assert "error: set/1.txt, line 2: expected a class from 0 to 0, got 4 [unknown_class]" in out
    code, out, _ = run(capsys, "check", "set", "--json")
    assert code == ExitCode.CHECK_FAILED
    (finding,) = json.loads(out)["findings"]
    assert (finding["file"], finding["at"], finding["severity"]) == ("set/1.txt", "line 2", "error")


def test_show_counts_splits_and_classes(bench, capsys):
    code, out, _ = run(capsys, "show", "set")
    assert code == ExitCode.OK
    assert "OK images" in out
    code, out, _ = run(capsys, "show", "set", "--json")
    split = json.loads(out)["splits"]["all"]
    assert (split["images"], split["ok_images"], split["boxes_by_class"]) == (2, 1, {"spot": 1})


def test_prelabelled_folder_opens_as_voc_and_says_that_nobody_looked_at_it(bench, capsys):
    code, out, _ = run(capsys, "prelabel", "plain", "--model", "tiny", "--out", "new", "--json")
    assert code == ExitCode.OK
    assert json.loads(out)["boxes"] == {"bright": 1, "dark": 0}
    read = read_dataset(Path("new"))
    assert [image.boxes.tolist() for image in read.images] == [[[16, 16, 32, 32]], []]
    assert read.notes == ("2 label files are as a model wrote them: no person has saved them since",)
    scores = json.loads(Path("new/prelabels.json").read_text())
    assert (scores["model"], scores["images"][0]["boxes"][0]["class_name"]) == ("tiny", "bright")
    label = Path("new/0.xml")
    label.write_text(label.read_text().replace("prelabelled by", "Unknown"))
    assert read_dataset(Path("new")).notes[0].startswith("1 label files")


def test_higher_score_prelabels_less(bench, capsys):
    _, out, _ = run(capsys, "prelabel", "plain", "--model", "tiny", "--out", "new", "--score", "0.999", "--json")
    assert sum(json.loads(out)["boxes"].values()) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ("convert", "set", "--to", "voc", "--out", "plain"),
            ExitCode.DATASET,
            "expected a folder that isn't there yet",
        ),
        (("convert", "nowhere", "--to", "voc", "--out", "new"), ExitCode.DATASET, "nowhere: no such folder"),
        (("check", "models"), ExitCode.DATASET, "expected one of these formats"),
        (("prelabel", "plain", "--model", "big", "--out", "new"), ExitCode.MODEL, "no such bundle"),
        (("prelabel", "models", "--model", "tiny", "--out", "new"), ExitCode.DATASET, "expected a folder of images"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_done_ends_with_the_named_code(bench, capsys, arguments, code, told):
    ended, _, err = run(capsys, *arguments)
    assert ended == code
    assert told in err
    assert err.count("\n") == 1
