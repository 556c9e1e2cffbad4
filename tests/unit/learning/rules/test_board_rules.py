"""Rules for printed circuit boards: named by who touches whom, with a template and without."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.datasets import LabelledImage
from appliance.learning.rules import Rules, make_method, suitable
from appliance.learning.rules.board import KINDS
from appliance.testing.drawn_boards import clean, with_defect


def image(path: Path) -> LabelledImage:
    none = np.zeros((0, 4), np.float32)
    return LabelledImage(
        path=path, part=path.name, boxes=none, class_ids=np.zeros(0, np.int64), is_ignored=np.zeros(0, np.bool_)
    )


@pytest.fixture
def board(tmp_path) -> LabelledImage:
    """An image beside its template, as DeepPCB has them."""
    assert cv2.imwrite(str(tmp_path / "00041000_temp.jpg"), clean(), [cv2.IMWRITE_JPEG_QUALITY, 100])
    return image(tmp_path / "00041000_test.jpg")


def found(method: str, pixels: np.ndarray, place: LabelledImage) -> list[tuple[str, tuple[float, ...]]]:
    detections = Rules.of(make_method(method, ()), KINDS).detect(pixels, place)
    is_beyond = detections.scores >= 0.5
    boxes = [tuple(box.tolist()) for box in detections.boxes_in_image[is_beyond]]
    return list(zip((KINDS[class_id] for class_id in detections.class_ids[is_beyond]), boxes, strict=True))


@pytest.mark.parametrize("method", ["template", "morphology"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_defect_is_found_and_named(board, kind, method):
    pixels, (x1, y1, x2, y2) = with_defect(kind)
    ((name, box),) = found(method, pixels, board)
    assert name == kind
    assert box[0] <= (x1 + x2) / 2 <= box[2]
    assert box[1] <= (y1 + y2) / 2 <= box[3]


@pytest.mark.parametrize("method", ["template", "morphology"])
def test_a_clean_board_passes(board, method):
    assert found(method, clean(), board) == []


@pytest.mark.parametrize("shift", [(2, -1), (-4, 3)])
def test_a_template_is_moved_to_where_the_board_lies(board, shift):
    pixels = cv2.warpAffine(
        with_defect("spur")[0],
        np.float64([[1, 0, shift[0]], [0, 1, shift[1]]]),
        (128, 128),
        borderMode=cv2.BORDER_REPLICATE,
    )
    assert [name for name, _ in found("template", pixels, board)] == ["spur"]


def test_a_board_without_its_template_isnt_judged(tmp_path):
    alone = image(tmp_path / "00041001_test.jpg")
    method = make_method("template", ())
    assert not method.can_judge(alone)
    with pytest.raises(DatasetError, match="template"):
        method.view(clean(), alone)


def test_the_kind_of_data_decides_which_rules_take_part():
    assert suitable("deeppcb") == ("template", "morphology")
    assert suitable("voc") == ("golden",)
