"""Dense heads: arrangements, class rules and grid maths, each on a few candidates that are written down."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.errors import ModelContractMismatch
from appliance.modelling import Detections, Placement
from appliance.modelling.families import dense
from appliance.modelling.families.dense import DenseDecoder
from appliance.modelling.families.grid import (
    cell_table,
    exponential_boxes,
    grid_boxes,
    grid_sizes,
    sigmoid,
    squared_boxes,
)
from appliance.modelling.families.heads import HeadOptions, HeadShape, RawBoxes, head_decoder

PLACE = Placement(64, 64)
ANCHORS: Any = [[[8, 8], [16, 8], [8, 16]], [[24, 24], [32, 16], [16, 32]]]


def decoder(class_count: int = 2, raw_boxes: RawBoxes | None = None, **options: Any) -> DenseDecoder:
    return head_decoder(HeadShape("test", class_count, 64, 64), HeadOptions(**options), raw_boxes)


def decode(rows: Sequence[Sequence[float]], *, score: float = 0.3, nms_iou: float = 0.5, **options: Any) -> Detections:
    array = np.array(rows, np.float32)[None]
    (found,) = decoder(layout="anchors_first", **options).decode([array], [PLACE], score=score, nms_iou=nms_iou)
    return found


def test_objectness_times_class_decides_not_the_class_alone() -> None:
    found = decode([[20, 20, 10, 10, 0.5, 0.9, 0.1], [40, 40, 10, 10, 0.3, 0.9, 0.1]], objectness=True)
    np.testing.assert_allclose(found.scores, [0.45])


def test_logits_pass_the_sigmoid_before_they_are_compared() -> None:
    found = decode([[20, 20, 10, 10, 0.0, -9.0], [40, 40, 10, 10, -1.0, -9.0]], score=0.4, logits=True)
    np.testing.assert_allclose(found.scores, [0.5])


def test_best_class_or_every_class_above_the_threshold() -> None:
    row = [20, 20, 10, 10, 0.6, 0.8]
    assert decode([row]).class_ids.tolist() == [1]
    assert decode([row], multi_label=True).class_ids.tolist() == [1, 0]


def test_boxes_of_other_classes_stay_unless_classes_make_no_difference() -> None:
    rows = [[20, 20, 10, 10, 0.9, 0.0], [20, 20, 10, 10, 0.0, 0.8]]
    assert len(decode(rows)) == 2
    assert decode(rows, class_agnostic=True).class_ids.tolist() == [0]


def test_overlap_is_measured_before_or_after_clipping() -> None:
    rows = [[0, 20, 40, 20, 0.9, 0.0], [-15, 20, 70, 20, 0.8, 0.0]]  # both 20 px wide inside the picture
    assert len(decode(rows, nms_iou=0.7)) == 2
    assert len(decode(rows, nms_iou=0.7, clip_before_nms=True)) == 1


@pytest.mark.parametrize(
    ("form", "box"),
    [
        ("cxcywh_px", [32, 16, 16, 8]),
        ("xyxy_px", [24, 12, 40, 20]),
        ("cxcywh_normalised", [0.5, 0.25, 0.25, 0.125]),
        ("xyxy_normalised", [0.375, 0.1875, 0.625, 0.3125]),
    ],
)
def test_finished_boxes_of_every_notation(form: str, box: list[float]) -> None:
    np.testing.assert_allclose(decode([[*box, 0.9, 0.0]], boxes=form).boxes_in_image, [[24, 12, 40, 20]])


def test_cells_come_scale_by_scale_anchor_by_anchor_and_row_by_row() -> None:
    table = cell_table([(2, 3), (1, 2)], (8, 16), ANCHORS)
    assert table.shape == (2 * 3 * 3 + 1 * 2 * 3, 5)
    assert table[4].tolist() == [1, 1, 8, 8, 8]
    assert table[6].tolist() == [0, 0, 8, 16, 8]
    assert table[-1].tolist() == [1, 0, 16, 16, 32]
    assert grid_sizes(65, 96, (32,)) == [(3, 3)]


def test_raw_numbers_become_the_boxes_that_the_papers_give() -> None:
    cell = np.array([[3, 2, 8, 20, 10]], np.float32)
    zero, raw = np.zeros((1, 4), np.float32), np.array([[0.5, -0.25, 0.0, np.log(2)]], np.float32)
    np.testing.assert_allclose(grid_boxes(raw, cell), [[24, 6, 32, 22]], rtol=1e-6)
    np.testing.assert_allclose(exponential_boxes(zero, cell, np.ones(1, np.float32)), [[18, 15, 38, 25]])
    np.testing.assert_allclose(squared_boxes(sigmoid(zero), cell), [[18, 15, 38, 25]])
    wide = exponential_boxes(np.array([[9.0, 0, 0, 0]], np.float32), cell, np.array([1.2], np.float32))
    np.testing.assert_allclose((wide[0, 0] + wide[0, 2]) / 2, (1.1 + 3) * 8, rtol=1e-3)


MAP_FORMS = {
    "channels": lambda one: one.transpose(0, 1, 4, 2, 3).reshape(1, -1, *one.shape[2:4]),
    "rows last": lambda one: one,
    "channels last": lambda one: one.transpose(0, 2, 3, 1, 4).reshape(1, *one.shape[2:4], -1),
}


@pytest.mark.parametrize("form", MAP_FORMS)
def test_maps_of_every_form_and_order_are_the_list_they_flatten_to(form: str) -> None:
    rng = np.random.default_rng(3)
    maps = [rng.normal(0, 2, (1, 3, *size, 7)).astype(np.float32) for size in grid_sizes(64, 64, (16, 32))]
    options = {"objectness": True, "logits": True, "strides": (16, 32), "anchors": ANCHORS}

    def raw_boxes(values: Any, cells: Any, _scales: Any) -> Any:
        return squared_boxes(sigmoid(values), cells)

    flat = np.concatenate([one.reshape(1, -1, 7) for one in maps], axis=1)
    as_list = decoder(2, raw_boxes, form="raw_list", layout="anchors_first", **options)
    as_maps = decoder(2, raw_boxes, form="raw_maps", **options)
    (expected,) = as_list.decode([flat], [PLACE], score=0.3, nms_iou=0.6)
    (found,) = as_maps.decode([MAP_FORMS[form](one) for one in reversed(maps)], [PLACE], score=0.3, nms_iou=0.6)
    assert len(found) > 5
    np.testing.assert_array_equal(found.boxes_in_image, expected.boxes_in_image)
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)


def test_maps_of_another_size_are_refused_with_the_expected_ones() -> None:
    maps = decoder(2, lambda values, *_: values, form="raw_maps", objectness=True, strides=(16, 32), anchors=ANCHORS)
    wrong = [np.zeros((1, 21, 4, 4), np.float32), np.zeros((1, 20, 2, 2), np.float32)]
    with pytest.raises(ModelContractMismatch, match=r"\(N, 21, 4, 4\), \(N, 21, 2, 2\)"):
        maps.decode(wrong, [PLACE], score=0.3, nms_iou=0.6)


@pytest.mark.parametrize("anchors", [[[[8, 8]]], [[[8, 8]], [[8, 8], [9, 9]]], [[], []]], ids=["few", "uneven", "none"])
def test_anchors_must_be_as_many_for_each_stride(anchors: Any) -> None:
    with pytest.raises(ValidationError, match="anchors"):
        HeadOptions(form="raw_maps", strides=(8, 16), anchors=anchors)


@given(st.integers(0, 1000), st.booleans(), st.booleans())
def test_a_frame_full_of_noise_gives_the_same_best_boxes_with_fewer_candidates(
    seed: int, objectness: bool, logits: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 3, (1, 900, 7)) if logits else rng.random((1, 900, 7))
    values[..., :4] = np.concatenate([rng.uniform(0, 64, (900, 2)), rng.uniform(2, 9, (900, 2))], axis=1)
    one = decoder(3 - objectness, layout="anchors_first", objectness=objectness, logits=logits)
    arguments: dict[str, Any] = {"score": 0.2, "nms_iou": 0.5, "max_detections": 20}
    (every,) = one.decode([values.astype(np.float32)], [PLACE], **arguments)
    before, dense.MAX_CANDIDATES = dense.MAX_CANDIDATES, 150
    try:
        (best,) = one.decode([values.astype(np.float32)], [PLACE], **arguments)
    finally:
        dense.MAX_CANDIDATES = before
    np.testing.assert_array_equal(best.scores, every.scores)
    np.testing.assert_array_equal(best.boxes_in_image, every.boxes_in_image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_no_number_is_no_detection(value: float) -> None:
    rows = [[20, 20, 10, 10, 0.9, 0.9, 0.1], [value, 40, 10, 10, 0.9, 0.9, 0.1], [40, 40, 10, 10, value, 0.9, 0.1]]
    found = decode(rows, objectness=True, score=0.1)
    assert np.isfinite(found.boxes_in_image).all()
    assert np.isfinite(found.scores).all()
