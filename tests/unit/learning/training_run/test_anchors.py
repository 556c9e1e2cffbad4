"""Anchors by k-means over the boxes of a set."""

import numpy as np
import pytest

from appliance.learning.training_run.anchors import fitting_anchors, mean_best_iou


def test_three_kinds_of_boxes_give_three_anchors_in_order_of_area():
    rng = np.random.default_rng(3)
    kinds = np.array([[10, 10], [40, 12], [60, 80]], np.float32)
    sizes = np.concatenate([kind + rng.normal(0, 0.5, (200, 2)) for kind in kinds]).astype(np.float32)
    anchors = fitting_anchors(sizes, 3, seed=7)
    np.testing.assert_allclose(np.array(anchors), kinds, atol=0.5)
    assert anchors == fitting_anchors(sizes, 3, seed=7)


def test_fitted_anchors_fit_better_than_the_published_ones():
    sizes = np.exp(np.random.default_rng(5).normal([3.0, 2.5], 0.4, (500, 2))).astype(np.float32)
    published = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
    fitted = fitting_anchors(sizes, 6, seed=7)
    assert mean_best_iou(sizes, fitted) > mean_best_iou(sizes, published) + 0.1


@pytest.mark.parametrize("sizes", [np.zeros((0, 2)), np.full((50, 2), 20.0)])
def test_too_few_different_boxes_give_none(sizes):
    assert fitting_anchors(sizes.astype(np.float32), 6, seed=7) == ()
