from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.learning.drift.rates import difference_margin, wilson
from appliance.learning.drift.scale import Histogram, distance, from_plain, outside_share, plain, quantile
from appliance.learning.drift.signals import SCALES

histograms = st.dictionaries(st.integers(0, 60), st.integers(1, 50), min_size=1).map(Counter)


@given(st.sampled_from(sorted(SCALES)), st.floats(0, 255))
def test_a_value_lies_in_its_bin(signal: str, value: float) -> None:
    scale = SCALES[signal]
    place = scale.bin_of(value)
    assert scale.start_of(place) <= value * (1 + 1e-6) + 1e-6
    assert value <= scale.start_of(place + 1) * (1 + 1e-6)


@given(histograms, histograms)
def test_distance_is_symmetric_and_nothing_to_itself(one: Histogram, other: Histogram) -> None:
    assert distance(one, one) == 0
    assert distance(one, other) == distance(other, one)
    assert 0 <= distance(one, other, 5) <= distance(one, other, 1) <= 1


@given(histograms, st.integers(0, 8))
def test_a_shift_within_the_tolerance_is_no_distance(one: Histogram, shift: int) -> None:
    moved = Counter({place + shift: count for place, count in one.items()})
    assert distance(one, moved, shift) == pytest.approx(0)


def test_distance_without_tolerance_is_kolmogorov_and_smirnovs() -> None:
    assert distance(Counter({0: 1, 1: 1, 2: 1, 3: 1}), Counter({2: 1, 3: 1, 4: 1, 5: 1}), 0) == 0.5
    assert distance(Counter({0: 10}), Counter({9: 3}), 0) == 1.0


def test_share_outside_forgives_one_bin() -> None:
    assert outside_share(Counter({3: 1, 4: 1, 5: 6, 8: 1, 9: 1}), 5, 7) == 0.2


def test_quantiles_are_bins() -> None:
    assert [quantile(Counter({1: 1, 2: 98, 7: 1}), share) for share in (0.0, 0.5, 0.995)] == [1, 2, 7]
    assert quantile(Counter(), 0.5) is None


@given(histograms)
def test_histograms_survive_json(one: Histogram) -> None:
    assert from_plain(plain(one)) == one


@pytest.mark.parametrize("content", [{"x": 1}, {"-1": 1}, {"1": -1}])
def test_what_is_no_histogram_is_refused(content: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"never negative|invalid literal"):
        from_plain(content)


def test_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, example a: 56 of 70 against 48 of 80, method 10: 0.0524 to 0.3339.
    margin = difference_margin((56, 70), (48, 80), 1.959964)
    assert 56 / 70 - 48 / 80 - margin == pytest.approx(0.0524, abs=5e-5)
    other_side = difference_margin((48, 80), (56, 70), 1.959964)
    assert 48 / 80 - 56 / 70 + other_side == pytest.approx(-0.0524, abs=5e-5)


def test_interval_of_nothing_seen_is_not_nothing() -> None:
    low, high = wilson(0, 100, 1.96)
    assert low == 0
    assert 0.03 < high < 0.04
