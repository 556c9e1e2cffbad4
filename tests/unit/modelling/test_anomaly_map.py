import numpy as np
import pytest
from pydantic import ValidationError

from appliance.modelling import Placement
from appliance.modelling.families.anomaly_map import AnomalyMapDecoder, AnomalyMapOptions, Scale


def decoded(options, *outputs, place=None, score=0.5, size=(8, 8)):
    decoder = AnomalyMapDecoder(options, *size)
    arrays = [np.asarray(output, np.float32) for output in outputs]
    (found,) = decoder.decode(arrays, [place or Placement(*size)], score=score, nms_iou=0.5)
    return found


def spots():
    scores = np.zeros((1, 8, 8), np.float32)
    scores[0, 1:3, 1:4] = 0.6
    scores[0, 2, 3] = 0.9
    scores[0, 6, 6] = scores[0, 7, 7] = 0.7  # they touch at a corner
    return scores


def test_touching_pixels_are_one_region_scored_by_its_highest():
    found = decoded(AnomalyMapOptions(map_axes=3), spots())
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert found.boxes_in_image.tolist() == [[1, 1, 4, 3], [6, 6, 8, 8]]
    assert found.class_ids.tolist() == [0, 0]
    assert found.image_score == pytest.approx(0.9)


def test_the_networks_own_image_score_counts():
    found = decoded(AnomalyMapOptions(map_axes=3, score_axes=2), np.zeros((1, 8, 8)), [[0.8]])
    assert len(found) == 0
    assert found.image_score == pytest.approx(0.8)


def test_raw_scores_are_brought_to_the_threshold_at_a_half():
    scale = Scale(threshold=12, minimum=2, maximum=22)
    found = decoded(AnomalyMapOptions(map_axes=3, score_axes=1, map_scale=scale), spots() * 20, [12.0])
    assert found.image_score == pytest.approx(0.5)
    np.testing.assert_allclose(found.scores, [0.8, 0.6], rtol=1e-6)


def test_a_centre_crop_lies_in_the_middle_of_the_frame():
    options = AnomalyMapOptions(map_axes=3, crop_px=(8, 8))
    found = decoded(options, spots(), size=(16, 16), place=Placement(32, 32, 0.5, 0.5))
    assert found.boxes_in_image.tolist()[0] == [10, 10, 16, 14]


def test_small_regions_can_be_left_out():
    assert len(decoded(AnomalyMapOptions(map_axes=3, smallest_region=3), spots())) == 1


def test_a_map_with_nan_gives_no_finite_image_score():
    broken = spots()
    broken[0, 0, 0] = np.nan
    assert np.isnan(decoded(AnomalyMapOptions(map_axes=3), broken).image_score)


def test_a_scale_needs_a_range():
    with pytest.raises(ValidationError, match="greater than minimum"):
        Scale(threshold=1, minimum=2, maximum=2)
