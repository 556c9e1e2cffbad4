import numpy as np
import pytest

from appliance.errors import ModelContractMismatch
from appliance.modelling import Placement
from appliance.modelling.families.boxes_labels_scores import BoxesLabelsScoresDecoder, BoxesLabelsScoresOptions
from appliance.modelling.families.detr import DetrDecoder, DetrOptions
from appliance.modelling.families.grid_head import GridHeadDecoder, GridHeadOptions
from appliance.modelling.families.ssd import SsdDecoder, SsdOptions

PLACE = Placement(100, 100)


def decoded(decoder, *outputs, score=0.3):
    arrays = [np.asarray(output, np.float32) for output in outputs]
    (found,) = decoder.decode(arrays, [PLACE], score=score, nms_iou=0.5)
    return found


def test_one_query_may_name_two_classes_under_sigmoid():
    options = DetrOptions(form="logits_boxes", boxes="cxcywh_normalised", activation="sigmoid")
    found = decoded(DetrDecoder(options, 2, 100, 100), [[[2.0, 1.0], [-9, -9]]], [[[0.5, 0.5, 0.2, 0.2]] * 2])
    assert found.class_ids.tolist() == [0, 1]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-6)
    np.testing.assert_allclose(found.boxes_in_image, [[40, 40, 60, 60]] * 2, atol=1e-4)


def test_softmax_counts_the_last_column_as_no_object():
    options = DetrOptions(form="logits_boxes", boxes="cxcywh_normalised", activation="softmax")
    decoder = DetrDecoder(options, 2, 100, 100)
    found = decoded(decoder, [[[0, 3.0, 0], [0, 0, 8.0]]], [[[0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]])
    assert found.class_ids.tolist() == [1]
    assert found.scores[0] == pytest.approx(np.exp(3) / (np.exp(3) + 2), rel=1e-5)


def test_a_spare_column_never_becomes_a_detection():
    options = DetrOptions(form="logits_boxes", boxes="cxcywh_normalised", activation="sigmoid", unnamed_columns=1)
    assert not len(decoded(DetrDecoder(options, 1, 100, 100), [[[-9.0, 5.0]]], [[[0.5, 0.5, 0.2, 0.2]]]))


def test_hopeless_logits_cost_no_warning_and_give_no_detection():
    options = DetrOptions(form="logits_boxes", boxes="cxcywh_normalised", activation="sigmoid")
    assert not len(decoded(DetrDecoder(options, 1, 9, 9), [[[-1e6], [np.nan]]], [[[0.5, 0.5, 0.2, 0.2]] * 2]))


def test_rows_behind_the_number_of_detections_are_ignored():
    options = BoxesLabelsScoresOptions(boxes="yxyx_normalised", first_label=1, counted=True)
    decoder = BoxesLabelsScoresDecoder(options, 2, 100, 100)
    found = decoded(decoder, [[[0.1, 0.2, 0.3, 0.6]] * 2], [[2, 1]], [[0.9, 0.9]], [1])
    assert found.class_ids.tolist() == [1]
    np.testing.assert_allclose(found.boxes_in_image, [[20, 10, 60, 30]], atol=1e-4)


def test_background_labels_and_padding_are_no_detections():
    options = BoxesLabelsScoresOptions(boxes="xyxy_px", first_label=1)
    decoder = BoxesLabelsScoresDecoder(options, 2, 100, 100)
    found = decoded(decoder, [[[0, 0, 9, 9]] * 2 + [[0, 0, 0, 0]]], [[0, 3, 1]], [[0.9, 0.9, 0]], score=0.0)
    assert not len(found)


def test_one_prior_may_name_two_classes():
    decoder = SsdDecoder(SsdOptions(boxes="xyxy_normalised", background="first"), 2, 100, 100)
    found = decoded(decoder, [[[0.1, 0.5, 0.4]]], [[[0.1, 0.1, 0.2, 0.2]]])
    assert found.class_ids.tolist() == [0, 1]


def test_joined_rows_are_scores_and_corners():
    decoder = SsdDecoder(SsdOptions(boxes="xyxy_px", background="none", joined=True), 2, 100, 100)
    found = decoded(decoder, [[[10], [20], [30], [40], [0.1], [0.8]]])
    assert found.class_ids.tolist() == [1]
    assert found.boxes_in_image.tolist() == [[10, 20, 30, 40]]


def test_negative_shares_of_a_broken_grid_are_no_detections():
    decoder = GridHeadDecoder(GridHeadOptions(), 1, 100, 100)
    assert not len(decoded(decoder, np.full((1, 6, 2, 2), -1.0)))


def test_a_wrong_number_of_outputs_is_refused():
    decoder = SsdDecoder(SsdOptions(boxes="xyxy_px", background="none"), 1, 100, 100)
    with pytest.raises(ModelContractMismatch, match="ssd outputs"):
        decoded(decoder, [[[0.5]]])
