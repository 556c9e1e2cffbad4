"""Which images teach, which choose, which only measure."""

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.datasets import read_dataset
from appliance.learning.training_run.advice import advise
from appliance.learning.training_run.division import Shares, divide
from appliance.learning.training_run.handover import hand_over
from appliance.testing.labelled_squares import write_strange_image, yolo_row


def write_parts(folder: Path, count: int, *, copies: int = 0) -> Path:
    """Write images that differ, every third a good part; the first `copies` of them a second time, a bit brighter."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(count):
        label = "" if number % 3 == 0 else yolo_row(number % 2, 8, 8)
        write_strange_image(folder / f"images/p{number:03}.png", number)
        (folder / f"labels/p{number:03}.txt").write_text(label)
        if number < copies:
            pixels = cv2.imread(str(folder / f"images/p{number:03}.png"), cv2.IMREAD_GRAYSCALE)
            assert pixels is not None
            cv2.imwrite(str(folder / f"images/q{number:03}.png"), np.clip(pixels * 0.9 + 12, 0, 255).astype(np.uint8))
            (folder / f"labels/q{number:03}.txt").write_text(label)
    (folder / "data.yaml").write_text("names: [burr, crack]\ntrain: images\n")
    return folder


def test_a_set_without_val_is_divided_by_seed_in_every_kind_alike(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "set", 60)
    division = divide(folder, Shares(val=0.2, test=0.2, seed=3))
    assert division.test is not None
    sizes = {split: len(dataset.images) for split, dataset in division.splits.items()}
    assert sizes == {"train": 36, "val": 12, "test": 12}
    for dataset in division.splits.values():
        assert sum(image.is_ok for image in dataset.images) == len(dataset.images) // 3
    again, other = divide(folder, Shares(val=0.2, test=0.2, seed=3)), divide(folder, Shares(val=0.2, test=0.2, seed=4))
    assert [image.path for image in again.val.images] == [image.path for image in division.val.images]
    assert [image.path for image in other.val.images] != [image.path for image in division.val.images]
    assert any("seed 3" in note for note in division.notes)


def test_images_that_look_alike_stay_on_one_side(tmp_path: Path) -> None:
    division = divide(write_parts(tmp_path / "set", 40, copies=12), Shares(val=0.3))
    sides = defaultdict(set)
    for split, dataset in division.splits.items():
        for image in dataset.images:
            sides[image.path.stem[1:]].add(split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert len(division.val.images) > 8


def test_splits_of_the_set_are_taken_as_they_are(squares: Path) -> None:
    division = divide(squares, Shares())
    assert division.is_own
    assert {split: len(dataset.images) for split, dataset in division.splits.items()} == {
        "train": 12,
        "val": 6,
        "test": 3,
    }


def test_the_child_gets_the_same_images_and_never_the_test_split(squares: Path, tmp_path: Path) -> None:
    division = divide(squares, Shares())
    hand_over(division, tmp_path / "handed", restarts=False)
    for split in ("train", "val"):
        read = read_dataset(tmp_path / "handed", split=split)
        wanted = {image.path.name: image for image in division.splits[split].images}
        assert read.class_names == division.class_names
        assert {image.path.name for image in read.images} == set(wanted)
        for image in read.images:
            np.testing.assert_allclose(image.boxes, wanted[image.path.name].boxes, atol=1e-3)
            assert image.class_ids.tolist() == wanted[image.path.name].class_ids.tolist()
    text = "".join(path.read_text() for path in (tmp_path / "handed").rglob("*.json"))
    assert "test0.png" not in text


def test_a_class_that_only_val_shows_is_refused(squares: Path) -> None:
    for label in (squares / "labels/train").iterdir():
        label.write_text("".join(line + "\n" for line in label.read_text().splitlines() if line[0] == "0"))
    (squares / "labels/val/val1.txt").write_text(yolo_row(1, 0, 0))
    with pytest.raises(DatasetError, match="class 'dark' is in split val or test"):
        divide(squares, Shares())


def test_too_few_parts_to_divide_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="too few to divide"):
        divide(write_parts(tmp_path / "set", 2), Shares())


def test_what_is_missing_is_said_before_hours_are_spent(squares: Path, tmp_path: Path) -> None:
    told = " | ".join(advise(divide(squares, Shares()), (64, 64), (64, 48)))
    assert "bright 10, dark 6" in told
    assert "4 NG parts to choose the score by" in told
    assert "no OK parts" not in told
    for split in ("train", "val"):
        for label in (squares / "labels" / split).iterdir():
            if not label.read_text():
                label.write_text(yolo_row(0, 0, 0))
    told = " | ".join(advise(divide(squares, Shares()), (16, 16), (64, 48)))
    assert "no OK parts in split train" in told
    assert "no OK parts in split val" in told
    assert "smaller than 8 px" in told
