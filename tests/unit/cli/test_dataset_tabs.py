"""`appliance dataset render-tabs`, as people and scripts call it."""

import json
from pathlib import Path

import cv2
import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.learning.datasets import read_dataset
from appliance.learning.tabs import CLASS_NAMES


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(("dataset", "render-tabs", *words))
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def order(out: Path, *more: str) -> tuple[str, ...]:
    return ("--out", str(out), "--parts", "10", "--size", "160x120", "--split", "0.6,0.2,0.2", "--seed", "3", *more)


def test_a_rendered_set_says_so_and_is_read_back_with_its_labels(tmp_path, capsys):
    out = tmp_path / "set"
    code, text, _ = call(capsys, *order(out, "--masks", "--json"))
    assert code == ExitCode.OK
    told = json.loads(text)
    manifest = json.loads((out / "manifest.json").read_text())
    assert told["rendered"] is manifest["rendered"] is True
    assert (manifest["regime"], manifest["seed"], manifest["mm_per_px"]) == ("in", 3, pytest.approx(0.2))
    assert told["part_counts"] == {"train": 6, "val": 2, "test": 2}
    assert told["ng_counts"] == {"train": 3, "val": 1, "test": 1}
    dataset = read_dataset(out, split="train")
    rows = {Path(row["image"]).name: row for row in manifest["parts"] if row["split"] == "train"}
    assert sum(image.is_ng for image in dataset.images) == 3
    for image in dataset.images:
        defects = rows[image.path.name]["defects"]
        assert image.boxes.tolist() == [defect["box_px"] for defect in defects]
        assert [dataset.class_names[index] for index in image.class_ids] == [row["class_name"] for row in defects]
        assert image.size_px == (160, 120)
    spoilt = next(row for row in rows.values() if row["defects"])
    mask = cv2.imread(str(out / spoilt["mask"]), cv2.IMREAD_UNCHANGED)
    assert (mask > 0).sum() == sum(defect["area_px"] for defect in spoilt["defects"])
    truth = json.loads((out / "images/train/truth.json").read_text())
    assert {name: one["verdict"] for name, one in truth.items()} == {
        name: "NG" if row["defects"] else "OK" for name, row in rows.items()
    }
    assert "<database>rendered" in (out / spoilt["label"]).read_text()
    assert (out / "predefined_classes.txt").read_text().split() == list(CLASS_NAMES)


def test_the_same_order_gives_the_same_files(tmp_path, capsys):
    for name in ("first", "second"):
        assert call(capsys, *order(tmp_path / name, "--regime", "shift"))[0] == ExitCode.OK
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("first", "second")
    ]
    assert len(files[0]) == 25
    assert files[0] == files[1]


def test_an_existing_folder_is_left_alone(tmp_path, capsys):
    code, _, error = call(capsys, *order(tmp_path))
    assert code == ExitCode.DATASET
    assert "expected a new folder" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--size", "640"), "WIDTHxHEIGHT"),
        (("--split", "0.5,0.5"), "three shares"),
        (("--split", "0.5,0.4,0.4"), "three shares"),
        (("--regime", "other"), "expected in or shift"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(tmp_path, capsys, words, told):
    code, _, error = call(capsys, "--out", str(tmp_path / "set"), *words)
    assert code == ExitCode.USAGE
    assert told in error
    assert not (tmp_path / "set").exists()
