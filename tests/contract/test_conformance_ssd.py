"""SSD-like exports: the bundle of a trained file against a transcription of the demo that runs such files."""

import pytest
from references.box_match import clipped, worst_match
from references.pictures import CASES, pictures, run_file
from references.prior_scores import decoded, prepared
from references.quick_import import import_here

from appliance.modelling.detector import Detector

FILE = CASES / "ssd" / "ssd_corners.onnx"
CLASSES = ("missing_copper", "extra_copper")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssd") / "bundle"
    bundle = import_here(FILE, folder, classes=CLASSES, divisor=1.0, mean=(127.0,), std=(128.0,))
    return Detector(bundle, threads=1, max_batch=2)


@pytest.mark.parametrize("score", [0.3, 0.05])
def test_finds_what_the_demo_finds(detector, score):
    boxes = 0
    for name, picture in pictures():
        size = picture.shape[1::-1]
        scores, corners = run_file(FILE, prepared(picture, 160, 160))
        expected = clipped(decoded(scores[0], corners[0], size, score, 0.45), *size)
        (found,) = detector.detect([picture], pixel_format="BGR8", score=score, nms_iou=0.45)
        lowest_iou, score_difference = worst_match(found, expected)
        assert lowest_iou >= 0.99, name
        assert score_difference <= 1e-3, name
        boxes += len(expected)
    assert boxes >= 4


def test_pictures_of_a_batch_are_judged_each_for_itself(detector):
    images = [picture for _, picture in pictures()]
    together = detector.detect(images, pixel_format="BGR8", score=0.3)
    alone = [detector.detect([image], pixel_format="BGR8", score=0.3)[0] for image in images]
    for one, other in zip(together, alone, strict=True):
        rows = zip(other.class_ids, other.scores, *other.boxes_in_image.T, strict=True)
        assert worst_match(one, [tuple(map(float, row)) for row in rows])[0] >= 0.99
