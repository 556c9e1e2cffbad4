from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.modelling import Detections
from appliance.modelling.tiling import Tile, merge, plan_tiles

LEFT, RIGHT = Tile(0, 0, 100, 100), Tile(60, 0, 160, 100)


def found(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([class_id for _, _, class_id in rows], np.int64),
    )


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), tile=st.integers(64, 1500), overlap=st.integers(0, 63))
def test_every_defect_up_to_the_overlap_lies_whole_in_some_tile(width, height, tile, overlap):
    tiles = plan_tiles(width, height, tile, tile, overlap)
    for length, starts in ((width, sorted({one.x1 for one in tiles})), (height, sorted({one.y1 for one in tiles}))):
        assert starts[0] == 0
        assert starts[-1] + tile >= length
        assert all(before + tile - after >= overlap for before, after in pairwise(starts))
    assert all(0 < one.x2 - one.x1 <= tile and one.x2 <= width and one.y2 <= height for one in tiles)


def test_frame_that_fits_is_one_tile():
    assert plan_tiles(640, 400, 640, 640, 64) == [Tile(0, 0, 640, 400)]


def test_no_more_tiles_than_needed_spread_evenly():
    assert [(one.x1, one.x2) for one in plan_tiles(1000, 100, 400, 400, 100)] == [(0, 400), (300, 700), (600, 1000)]


@pytest.mark.parametrize("overlap", [-1, 64, 100])
def test_overlap_that_leaves_no_step_is_refused(overlap):
    with pytest.raises(ValueError, match="expected 0 to 63 px, got"):
        plan_tiles(1000, 1000, 64, 64, overlap)


@dataclass(frozen=True)
class SeamCase:
    name: str
    left: Detections
    right: Detections
    boxes: list[tuple[float, float, float, float]]
    scores: list[float]


CASES = [
    SeamCase(
        "whole_in_both", found(((70, 10, 90, 30), 0.8, 0)), found(((10, 10, 31, 30), 0.9, 0)), [(70, 10, 91, 30)], [0.9]
    ),
    SeamCase(
        "whole_left_cut_right",
        found(((50, 10, 90, 30), 0.7, 0)),
        found(((0, 10, 30, 30), 0.9, 0)),
        [(50, 10, 90, 30)],
        [0.9],
    ),
    SeamCase(
        "cut_in_both", found(((50, 10, 100, 30), 0.7, 0)), found(((0, 11, 60, 30), 0.6, 0)), [(50, 10, 120, 30)], [0.7]
    ),
    SeamCase(
        "sliver_of_another_class",
        found(((30, 10, 66, 30), 0.7, 0)),
        found(((0, 12, 9, 29), 0.4, 1)),
        [(30, 10, 66, 30)],
        [0.7],
    ),
    SeamCase(
        "two_neighbours_in_the_overlap",
        found(((65, 10, 75, 30), 0.8, 0), ((80, 10, 90, 30), 0.7, 0)),
        found(((5, 10, 15, 30), 0.6, 0), ((20, 10, 30, 30), 0.9, 0)),
        [(80, 10, 90, 30), (65, 10, 75, 30)],
        [0.9, 0.8],
    ),
    SeamCase(
        "other_class_in_the_same_place_stays",
        found(((70, 10, 90, 30), 0.8, 0)),
        found(((10, 10, 30, 30), 0.9, 1)),
        [(70, 10, 90, 30), (70, 10, 90, 30)],
        [0.9, 0.8],
    ),
    SeamCase(
        "boxes_of_one_tile_are_left_alone",
        found(((10, 10, 30, 30), 0.9, 0), ((12, 10, 32, 30), 0.8, 0)),
        found(),
        [(10, 10, 30, 30), (12, 10, 32, 30)],
        [0.9, 0.8],
    ),
    SeamCase("nothing", found(), found(), [], []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_seam_defect_is_found_once(case: SeamCase) -> None:
    merged = merge([LEFT, RIGHT], [case.left, case.right])
    np.testing.assert_allclose(merged.boxes_in_image, np.array(case.boxes).reshape(-1, 4))
    np.testing.assert_allclose(merged.scores, case.scores)
    assert merged.boxes_in_image.dtype == merged.scores.dtype == np.float32


@given(
    x=st.integers(0, 880),
    y=st.integers(0, 880),
    width=st.integers(4, 120),
    height=st.integers(4, 120),
    overlap=st.integers(24, 100),
)
def test_whatever_the_seams_a_perfect_detector_s_defect_is_one_box(x, y, width, height, overlap):
    """Each tile sees the defect's piece in it, if it is at least two pixels thick."""
    tiles = plan_tiles(1000, 1000, 256, 256, overlap)
    seen = []
    for tile in tiles:
        x1, y1 = max(x, tile.x1), max(y, tile.y1)
        x2, y2 = min(x + width, tile.x2), min(y + height, tile.y2)
        is_seen = min(x2 - x1, y2 - y1) >= 2
        piece = (x1 - tile.x1, y1 - tile.y1, x2 - tile.x1, y2 - tile.y1)
        seen.append(found((piece, 0.9, 0)) if is_seen else found())
    merged = merge(tiles, seen)
    assert len(merged) == 1
    corners = merged.boxes_in_image[0]
    np.testing.assert_allclose(corners, [x, y, x + width, y + height], atol=2)


def test_best_image_score_of_all_tiles_counts():
    left = Detections(*vars_of(found()), image_score=0.2)
    right = Detections(*vars_of(found()), image_score=0.7)
    assert merge([LEFT, RIGHT], [left, right]).image_score == pytest.approx(0.7)


def vars_of(one: Detections):
    return one.boxes_in_image, one.scores, one.class_ids
