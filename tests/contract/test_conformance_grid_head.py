"""FastestDet exports: the bundle of a trained file against a transcription of the library's test program."""

import pytest
from references.box_match import clipped, worst_match
from references.fastest_det import decoded, prepared
from references.pictures import CASES, pictures, run_file
from references.quick_import import import_here

from appliance.modelling.detector import Detector

FILE = CASES / "grid_head" / "fastestdet_head.onnx"
CLASSES = ("missing_copper", "extra_copper")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid_head") / "bundle"
    return Detector(import_here(FILE, folder, classes=CLASSES), threads=1, max_batch=2)


@pytest.mark.parametrize("score", [0.3, 0.2])
def test_finds_what_the_test_program_finds(detector, score):
    boxes = 0
    for name, picture in pictures():
        size = picture.shape[1::-1]
        (grid,) = run_file(FILE, prepared(picture, 160, 160))
        expected = clipped(decoded(grid[0], size, score, 0.45), *size)
        (found,) = detector.detect([picture], pixel_format="BGR8", score=score, nms_iou=0.45)
        lowest_iou, score_difference = worst_match(found, expected)
        assert lowest_iou >= 0.99, name
        assert score_difference <= 1e-3, name
        boxes += len(expected)
    assert boxes >= 2
