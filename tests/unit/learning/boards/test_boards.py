"""Drawn boards: their truth is a matter of connectivity, so it can be checked by it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.learning.boards import draw_board, draw_defect

NOTHING = np.zeros((0, 4), np.float32)
ADDS_COPPER = {"copper", "spur", "short"}


def drawn_defects(board, count, seed=0):
    rng = np.random.default_rng(seed)
    found = [draw_defect(board, NOTHING, rng) for _ in range(count)]
    return [one for one in found if one is not None]


def traces():
    """Three black traces on white, 24 px wide and 40 px apart."""
    board = np.full((320, 320), 255, np.uint8)
    for left in (40, 104, 168):
        board[:, left : left + 24] = 0
    return board


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_a_board_is_binary_and_of_the_asked_size(seed):
    board = draw_board(160, np.random.default_rng(seed))
    assert board.shape == (160, 160)
    assert set(np.unique(board)) <= {0, 255}


def test_the_same_seed_draws_the_same_board():
    first, second = (draw_board(200, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_only_pixels_inside_the_box_change_and_in_the_direction_of_the_class(seed):
    rng = np.random.default_rng(seed)
    board = draw_board(200, rng)
    before = board.copy()
    defect = draw_defect(board, NOTHING, rng)
    np.testing.assert_array_equal(board, before)
    if defect is None:
        return
    changed = defect.pixels != board
    ys, xs = np.nonzero(changed)
    x1, y1, x2, y2 = defect.box
    assert x1 <= xs.min()
    assert xs.max() < x2
    assert y1 <= ys.min()
    assert ys.max() < y2
    assert set(np.unique(defect.pixels[changed])) == {0 if defect.class_name in ADDS_COPPER else 255}


def pieces(mask):
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1


@pytest.mark.parametrize(("name", "is_copper"), [("open", True), ("short", False)])
def test_what_divides_a_trace_or_a_gap_is_named_so(name, is_copper):
    board = traces()
    cases = [one for one in drawn_defects(board, 400) if one.class_name == name]
    assert len(cases) > 10
    body = (board < 128) == is_copper
    for one in cases:
        assert pieces((one.pixels < 128) == is_copper) > pieces(body)


@pytest.mark.parametrize(("name", "is_copper"), [("pin-hole", True), ("copper", False)])
def test_what_lies_alone_is_named_so(name, is_copper):
    board = traces()
    cases = [one for one in drawn_defects(board, 400) if one.class_name == name]
    assert len(cases) > 3
    for one in cases:
        changed = (one.pixels != board).astype(np.uint8)
        ring = cv2.dilate(changed, np.ones((3, 3), np.uint8)).astype(bool) & ~changed.astype(bool)
        assert ((board[ring] < 128) == is_copper).all()


def test_all_six_classes_are_drawn():
    names = {one.class_name for one in drawn_defects(traces(), 600)}
    assert names == {"open", "short", "mousebite", "spur", "copper", "pin-hole"}


def test_nothing_is_drawn_over_what_is_there():
    everything = np.array([[0, 0, 320, 320]], np.float32)
    rng = np.random.default_rng(0)
    assert all(draw_defect(traces(), everything, rng) is None for _ in range(50))
