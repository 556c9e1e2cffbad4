from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.learning.training.augment import cut, heal, mark, mosaic, negative, orient, relight, vary, zoom
from appliance.learning.training.part import Part
from appliance.learning.training.plan import Plan, Variation

NAMES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
PLAN = Plan(
    dataset="",
    class_names=NAMES,
    width_px=640,
    height_px=640,
    work="",
    variation=Variation(marked_share=0.5, negative_share=0.5, negative_classes=(1, 0, 3, 2, 5, 4)),
)


def part(*boxes: tuple[int, int, int, int], side: int = 640) -> Part:
    """Make a part whose defects are white on black, so that a box can be checked against the pixels."""
    pixels = np.zeros((side, side), np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255
    return Part(
        path=Path("a"),
        part="a",
        pixels=pixels,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        class_ids=np.arange(len(boxes), dtype=np.int64),
        is_ignored=np.zeros(len(boxes), np.bool_),
        clean_pixels=np.zeros((side, side), np.uint8),
    )


def framed(pixels: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(pixels > 127)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


@given(view=st.integers(0, 7), x=st.integers(0, 500), y=st.integers(0, 500), w=st.integers(1, 99), h=st.integers(1, 99))
def test_box_turns_with_the_pixels(view, x, y, w, h):
    turned = orient(part((x, y, x + w, y + h)), view)
    assert turned.boxes[0].tolist() == framed(turned.pixels)


@given(view=st.integers(0, 7))
def test_boxes_that_reach_further_left_and_up_do_so_in_every_view(view):
    """A set whose boxes are 11 px wider at the left and top and 8 px at the right and bottom, as DeepPCB's."""
    around = np.array([-11, -11, 8, 8])
    board = part((300, 250, 340, 320))
    loose = Part(**{**vars(board), "boxes": board.boxes + around.astype(np.float32)})
    turned = orient(loose, view, lean_px=3)
    np.testing.assert_array_equal(turned.boxes[0], np.array(framed(turned.pixels)) + around)


def test_the_eight_views_all_differ():
    views = [orient(part((10, 20, 40, 90)), view).boxes[0].tolist() for view in range(8)]
    assert len({tuple(view) for view in views}) == 8


@given(scale=st.floats(0.75, 1.4), seed=st.integers(0, 99))
def test_box_grows_with_the_pixels(scale, seed):
    original = part((300, 290, 340, 350))
    zoomed = zoom(original, scale, np.random.default_rng(seed))
    if len(zoomed.boxes):
        size = zoomed.boxes[0][2:] - zoomed.boxes[0][:2]
        assert (size <= np.array([40, 60]) * scale + 1e-2).all()
        x1, y1, x2, y2 = zoomed.boxes[0].astype(int)
        assert zoomed.pixels[(y1 + y2) // 2, (x1 + x2) // 2] > 127


@given(seed=st.integers(0, 500))
def test_cutting_keeps_boxes_on_their_defects(seed):
    cutting = cut(part((30, 40, 60, 80), (400, 410, 460, 440)), 192, np.random.default_rng(seed))
    assert cutting.pixels.shape == (192, 192)
    assert len(cutting.boxes) == len(cutting.class_ids)
    for x1, y1, x2, y2 in cutting.boxes.astype(int):
        assert (cutting.pixels[y1:y2, x1:x2] == 255).all()


def test_healed_defect_is_gone_from_pixels_and_truth():
    healed = heal(part((30, 40, 60, 80), (400, 410, 460, 440)), np.array([True, False]))
    assert healed.boxes.tolist() == [[400, 410, 460, 440]]
    assert healed.class_ids.tolist() == [1]
    assert framed(healed.pixels) == [400, 410, 460, 440]


def test_defect_that_touches_one_that_stays_is_not_healed():
    healed = heal(part((30, 40, 60, 80), (62, 40, 90, 80)), np.array([True, False]))
    assert len(healed.boxes) == 2
    assert (healed.pixels[40:80, 30:60] == 255).all()


def test_part_that_is_given_is_never_changed():
    original = part((30, 40, 60, 80))
    before = original.pixels.copy()
    for seed in range(20):
        vary(original, PLAN, np.random.default_rng(seed))
    np.testing.assert_array_equal(original.pixels, before)


def test_same_seed_gives_the_same_variation():
    first, second = (vary(part((30, 40, 60, 80)), PLAN, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.boxes, second.boxes)


@pytest.mark.parametrize("seed", range(5))
def test_light_changes_but_dark_stays_darker_than_bright(seed):
    lit = relight(part((0, 0, 320, 640)).pixels, np.random.default_rng(seed))
    assert lit[:, :300].mean() > lit[:, 340:].mean() + 100


def test_drawn_marks_stay_clear_of_the_defects_that_are_there():
    board = part((100, 100, 300, 400))
    drawn = 0
    for seed in range(8):
        marked = mark(board, 4, NAMES, np.random.default_rng(seed))
        drawn += len(marked.boxes) - 1
        np.testing.assert_array_equal(marked.pixels[100:400, 100:300], board.pixels[100:400, 100:300])
        assert len(marked.boxes) == len(marked.class_ids) == len(marked.is_ignored) <= 5
    assert drawn > 4


def test_the_negative_of_the_negative_is_the_part():
    board = part((30, 40, 60, 80), (100, 100, 120, 130))
    swapped = negative(board, (1, 0, 3, 2, 5, 4))
    assert swapped.class_ids.tolist() == [1, 0]
    twice = negative(swapped, (1, 0, 3, 2, 5, 4))
    np.testing.assert_array_equal(twice.pixels, board.pixels)
    assert twice.class_ids.tolist() == board.class_ids.tolist()


@given(seed=st.integers(0, 200))
def test_a_mosaic_keeps_its_boxes_on_their_defects(seed):
    four = [part((10 + 30 * place, 20, 60 + 30 * place, 90), side=160) for place in range(4)]
    whole = mosaic(four, np.random.default_rng(seed))
    assert whole.pixels.shape == (160, 160)
    assert len(whole.boxes) == len(whole.class_ids) == len(whole.is_ignored)
    for x1, y1, x2, y2 in whole.boxes.astype(int):
        assert (whole.pixels[y1:y2, x1:x2] == 255).all()


def test_a_part_that_always_lies_the_same_way_isnt_turned():
    still = Plan(
        dataset="", class_names=NAMES, width_px=640, height_px=640, work="",
        variation=Variation(turns=False, flips=False, zoom_share=0, light_share=0, heal_share=0),
    )  # fmt: skip
    for seed in range(10):
        assert vary(part((30, 40, 60, 80)), still, np.random.default_rng(seed)).boxes.tolist() == [[30, 40, 60, 80]]
