"""What labelImg's own code does with our files: the cases were written by it, see tests/conformance_tools."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.learning.datasets import ClassLock, Dataset, Labels, read_dataset
from appliance.learning.datasets.convert import convert

CASES = Path(__file__).parents[2] / "cases/labelimg"
NAMES = ("余料 & 划痕 <深>", "毛刺", "pin-hole")
BOXES = {
    "部件 01": [
        ("毛刺", (3, 4, 20, 11), False),
        ("余料 & 划痕 <深>", (1, 1, 40, 30), True),
        ("pin-hole", (1, 1, 2, 2), False),
        ("毛刺", (39, 29, 40, 30), True),
    ],
    "部件 02": [],
    "at the edge": [("pin-hole", (0, 0, 1, 1), False), ("毛刺", (0, 7, 9, 8), False)],
}


def labelled(folder: Path) -> Dataset:
    """Three grey images of 40x30 px with boxes of whole px."""
    images = []
    for number, (stem, rows) in enumerate(BOXES.items()):
        path = folder / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", np.full((30, 40), 90 + number, np.uint8))[1].tobytes())
        truth = Labels.empty()
        for name, box, is_difficult in rows:
            truth.add(box, name, is_ignored=is_difficult)
        images.append(truth.image(path, NAMES))
    return Dataset(folder, "made", None, NAMES, tuple(images))


def rows_of(dataset: Dataset) -> dict:
    return {
        image.path.stem: [
            (dataset.class_names[class_id], tuple(box), is_ignored)
            for box, class_id, is_ignored in zip(
                image.boxes.tolist(), image.class_ids.tolist(), image.is_ignored.tolist(), strict=True
            )
        ]
        for image in dataset.images
    }


def without_paths(label: Path) -> str:
    """Drop <folder> and <path>: they name the machine."""
    return re.sub(r"\t<(folder|path)>.*\n", "", label.read_text(encoding="utf-8"))


@pytest.fixture
def written(tmp_path) -> Path:
    convert([labelled(tmp_path / "source")], "voc", tmp_path / "voc")
    return tmp_path / "voc"


def test_our_files_are_those_that_labelimg_opened(written):
    for stem in BOXES:
        assert without_paths(written / f"{stem}.xml") == without_paths(CASES / f"written/{stem}.xml")


@pytest.mark.parametrize("stem", ["部件 01", "部件 02"])
def test_labelimg_saves_our_file_as_we_wrote_it_byte_by_byte(written, stem):
    assert without_paths(written / f"{stem}.xml") == without_paths(CASES / f"saved/{stem}.xml")


def test_nothing_is_lost_on_the_way_through_labelimg_but_its_lift_of_0_to_1(written):
    for stem in BOXES:
        (written / f"{stem}.xml").write_bytes((CASES / f"saved/{stem}.xml").read_bytes())
    read = rows_of(read_dataset(written))
    assert read.pop("at the edge") == [("pin-hole", (0, 0, 1, 1), False), ("毛刺", (1, 7, 9, 8), False)]
    assert read == {stem: BOXES[stem] for stem in read}
    assert len(read) == 2


def test_boxes_drawn_in_labelimg_are_read_with_its_rounding(tmp_path):
    (tmp_path / "部件 01.png").write_bytes(cv2.imencode(".png", np.full((30, 40), 90, np.uint8))[1].tobytes())
    (tmp_path / "部件 01.xml").write_bytes((CASES / "drawn/部件 01.xml").read_bytes())
    assert rows_of(read_dataset(tmp_path))["部件 01"] == [*BOXES["部件 01"], ("pin-hole", (0, 7, 1, 8), False)]


def test_labelimg_saves_our_yolo_rows_as_we_wrote_them_but_lifts_0_to_1(tmp_path):
    convert([labelled(tmp_path / "source")], "yolo", tmp_path / "yolo")
    for stem in ("部件 01", "部件 02"):
        ours = (tmp_path / f"yolo/labels/{stem}.txt").read_bytes()
        assert ours == (CASES / f"saved_yolo/{stem}.txt").read_bytes()
    assert (tmp_path / "yolo/labels/classes.txt").read_bytes() == (CASES / "saved_yolo/classes.txt").read_bytes()


def test_the_order_of_classes_survives_labelimg(written):
    assert read_dataset(written).class_names == NAMES
    assert ClassLock.beside(written) == ClassLock(NAMES)
    assert (written / "predefined_classes.txt").read_text(encoding="utf-8").splitlines() == list(NAMES)
