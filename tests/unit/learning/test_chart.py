"""Axes of charts: round values, and few of them."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.learning.evaluation.report.chart import ticks


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0.0, 1.0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ((0.0, 1.08), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ((-7.0, 0.0), [-7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0]),
        ((88.4, 126.0), [90.0, 95.0, 100.0, 105.0, 110.0, 115.0, 120.0, 125.0]),
    ],
)
def test_ticks_are_round(limits, expected):
    assert ticks(limits) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_within_the_axis_and_are_neither_few_nor_many(low, span):
    found = ticks((low, low + span))
    assert 4 <= len(found) <= 11
    assert low - 1e-6 * span <= found[0] < found[-1] <= low + span * (1 + 1e-6)
    gaps = [after - before for before, after in pairwise(found)]
    assert max(gaps) == pytest.approx(min(gaps), rel=1e-3, abs=1e-9)
    assert not any(math.copysign(1, value) < 0 for value in found if value == 0)
