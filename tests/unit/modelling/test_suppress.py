import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.modelling.families.suppression import suppress


def kept(boxes, classes, iou=0.5):
    return suppress(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), iou).tolist()


def test_overlapping_box_of_the_same_class_is_suppressed():
    assert kept([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], [0, 0, 0]) == [0, 2]


def test_overlapping_box_of_another_class_stays():
    assert kept([[0, 0, 10, 10], [0, 0, 10, 10]], [0, 1]) == [0, 1]


def test_overlap_equal_to_the_limit_stays():
    assert kept([[0, 0, 10, 10], [0, 0, 10, 5]], [0, 0], iou=0.5) == [0, 1]


def test_suppressed_box_suppresses_nothing():
    row = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
    assert kept(row, [0, 0, 0], iou=0.4) == [0, 2]


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [5, 5, 9, 5], [9, 9, 5, 5]], ids=["no width", "no height", "inside out"])
def test_box_without_area_is_dropped(box):
    assert kept([box, [0, 0, 10, 10]], [0, 0]) == [1]


def test_nothing_gives_nothing():
    assert kept([], []) == []


coordinates = st.integers(0, 30)


@given(
    rows=st.lists(st.tuples(coordinates, coordinates, st.integers(1, 15), st.integers(1, 15)), max_size=25),
    iou=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    data=st.data(),
)
def test_same_choice_as_the_textbook_loop(rows, iou, data):
    boxes = [[x, y, x + w, y + h] for x, y, w, h in rows]
    classes = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    expected: list[int] = []
    for index, box in enumerate(boxes):
        if all(classes[index] != classes[other] or overlap(box, boxes[other]) <= iou for other in expected):
            expected.append(index)
    assert kept(boxes, classes, iou) == expected


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union
