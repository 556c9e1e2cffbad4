import cv2
import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.datasets import read_dataset
from appliance.learning.datasets.deeppcb import SPLIT, board_group, template_of


def read_parts(folder, split):
    return read_dataset(folder, file_format="deeppcb", split=split).images


GROUPS = [group for groups in SPLIT.values() for group in groups]


def write_image(path, size=640):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size), 200, np.uint8))


@pytest.fixture(params=["flat", "published"])
def data(request, tmp_path):
    for group in GROUPS:
        flat = request.param == "flat"
        images = tmp_path / "images" if flat else tmp_path / "PCBData" / f"group{group}" / group
        templates = tmp_path / "templates" if flat else images
        label = tmp_path / "labels" / f"{group}000_test.txt" if flat else images.parent / f"{group}_not/{group}000.txt"
        write_image(images / f"{group}000_test.jpg")
        write_image(templates / f"{group}000_temp.jpg")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("10 20 40 60 1\n100,110,130,150,6\n")
    return tmp_path


def test_both_layouts_give_the_same_parts(data):
    parts = read_parts(data, "val")
    assert [(part.path.name, part.is_ok) for part in parts] == [
        ("44000000_temp.jpg", True),
        ("44000000_test.jpg", False),
    ]
    defective = parts[1]
    assert defective.boxes.tolist() == [[10, 20, 40, 60], [100, 110, 130, 150]]
    assert defective.class_ids.tolist() == [0, 5]
    assert template_of(defective.path) is not None


def test_no_board_group_is_in_two_splits(data):
    groups = [{board_group(part.path) for part in read_parts(data, split)} for split in SPLIT]
    assert sorted(group for some in groups for group in some) == sorted(GROUPS)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no such folder"):
        read_parts(tmp_path / "nothing", "train")


def test_folder_without_a_board_group_names_the_group(data):
    for path in data.rglob("44000000_test.jpg"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"images <digits>_test\.jpg of board group 44000, got groups.*clone https"):
        read_parts(data, "val")


@pytest.mark.parametrize("row", ["1 2 3 4 7", "1 2 3 4", "a b c d 1", ""], ids=["class 7", "short", "letters", "empty"])
def test_label_that_is_not_a_row_of_five_is_refused(data, row):
    for path in data.rglob("44000000*.txt"):
        path.write_text(row)
    with pytest.raises(DatasetError, match=r"44000000.*: expected (a row|rows|x1 < x2)"):
        read_parts(data, "val")
