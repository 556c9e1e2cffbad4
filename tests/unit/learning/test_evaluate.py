from pathlib import Path

import numpy as np
import pytest

from appliance.learning.deeppcb import CLASS_NAMES, Part
from appliance.learning.evaluate import choose_score, count, detect
from appliance.modelling import Detections


def part(*boxes) -> Part:
    return Part(
        name="a",
        group="0",
        path=Path("a"),
        pixels=np.zeros((64, 64), np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        class_ids=np.zeros(len(boxes), np.int64),
    )


def found(*rows) -> Detections:
    """Make detections from rows (score, x1, y1, x2, y2)."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, 1:], table[:, 0], np.zeros(len(table), np.int64))


PARTS = [part((0, 0, 10, 10), (30, 30, 40, 40)), part((5, 5, 15, 15)), part(), part()]
FOUND = [
    found((0.9, 0, 0, 10, 10), (0.3, 30, 30, 40, 40)),
    found((0.6, 5, 5, 15, 15)),
    found((0.4, 1, 1, 9, 9)),
    found(),
]


def test_escapes_and_false_rejects_are_counted_at_the_score():
    counts = count(PARTS, FOUND, 0.7)
    assert (counts.escapes, counts.ng_parts, counts.false_rejects, counts.ok_parts) == (1, 2, 0, 2)
    assert (counts.missed_defects, counts.defects) == (2, 3)
    assert (counts.escape_rate, counts.false_reject_rate) == (0.5, 0.0)
    counts = count(PARTS, FOUND, 0.2)
    assert (counts.escapes, counts.false_rejects, counts.missed_defects) == (0, 1, 0)


def test_detection_beside_the_defect_does_not_find_it():
    counts = count([part((0, 0, 10, 10)), part()], [found((0.9, 20, 20, 30, 30)), found()], 0.5)
    assert (counts.escapes, counts.missed_defects) == (0, 1)


def test_chosen_score_lies_in_the_middle_of_the_best_range():
    # Up to 0.40 one of two clean parts is rejected, above 0.60 one of two NG parts escapes.
    assert choose_score(PARTS, FOUND) == pytest.approx(0.505, abs=0.01)


def test_chosen_score_separates_what_can_be_separated():
    parts = [part((0, 0, 10, 10)), part()]
    assert choose_score(parts, [found((0.8, 0, 0, 10, 10)), found((0.4, 0, 0, 9, 9))]) == pytest.approx(0.61, abs=0.01)


def test_every_part_gets_its_detections_in_order():
    parts = [part((index, 0, index + 10, 10)) for index in range(11)]

    def run(images):
        raw = np.zeros((len(images), 4 + len(CLASS_NAMES), 1), np.float32)
        raw[:, :4, 0] = 32, 32, 8, 8
        raw[:, 4, 0] = images[:, 0, 0, 0] / 255.0
        return raw

    for index, one in enumerate(parts):
        one.pixels[:] = 10 * index
    scores = [one.scores.tolist() for one in detect(run, parts, batch=4)]
    assert scores[0] == []
    assert [row[0] for row in scores[1:]] == pytest.approx([10 * index / 255 for index in range(1, 11)])
