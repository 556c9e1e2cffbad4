import numpy as np
import pytest

from appliance.errors import ModelContractMismatch
from appliance.modelling import Placement
from appliance.modelling.families.candidates import best_in_frame, check_arrays, check_shapes, to_corners, whole_numbers

PLACE = Placement(100, 50)


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("form", "box"),
    [
        ("xyxy_px", (20, 10, 60, 30)),
        ("cxcywh_px", (40, 20, 40, 20)),
        ("xyxy_normalised", (0.2, 0.2, 0.6, 0.6)),
        ("cxcywh_normalised", (0.4, 0.4, 0.4, 0.4)),
        ("yxyx_normalised", (0.2, 0.2, 0.6, 0.6)),
    ],
)
def test_every_notation_means_the_same_box(form, box):
    np.testing.assert_allclose(to_corners(boxes(box), form, 100, 50), [[20, 10, 60, 30]], atol=1e-4)


def test_best_come_first_and_what_is_no_number_goes():
    found = best_in_frame(
        boxes((0, 0, 9, 9), (20, 0, 29, 9), (np.nan, 0, 49, 9), (60, 0, 69, 9), (80, 0, 89, 9)),
        np.array([0.5, 0.9, 0.95, np.nan, 0.2], np.float32),
        np.arange(5),
        PLACE,
        score=0.4,
        max_detections=10,
    )
    assert found.class_ids.tolist() == [1, 0]
    assert found.boxes_in_image.dtype == np.float32


def test_overlapping_boxes_stay_unless_suppression_is_asked_for():
    some = boxes((0, 0, 10, 10), (0, 0, 10, 9), (50, 0, 60, 10))
    scores, ids = np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64)
    assert len(best_in_frame(some, scores, ids, PLACE, score=0.1, max_detections=10)) == 3
    assert len(best_in_frame(some, scores, ids, PLACE, score=0.1, max_detections=10, nms_iou=0.5)) == 2
    assert len(best_in_frame(some, scores, ids, PLACE, score=0.1, max_detections=1, nms_iou=0.5)) == 1


def test_labels_that_are_no_numbers_name_nothing():
    assert whole_numbers(np.array([0, 2.0000001, np.nan, np.inf], np.float32)).tolist() == [0, 2, -1, -1]


def test_wrong_outputs_are_told_with_expected_and_found():
    with pytest.raises(ModelContractMismatch, match=r"expected shapes \(2, \*, 4\), got \(2, 5\)"):
        check_arrays("detr", [np.zeros((2, 5), np.float32)], [(2, None, 4)])
    with pytest.raises(ModelContractMismatch, match="expected float32, got float64"):
        check_arrays("detr", [np.zeros((2, 5, 4))], [(2, None, 4)])
    with pytest.raises(ModelContractMismatch, match="family detr expects outputs"):
        check_shapes("family detr", [("N", 300, 5)], [(None, None, 4)])
    check_shapes("family detr", [("N", "queries", 4)], [(None, None, 4)])
