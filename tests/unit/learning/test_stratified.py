"""The stratified interval: Clopper and Pearson's where that applies, and never too sure of itself elsewhere."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.learning.evaluation.intervals import clopper_pearson
from appliance.learning.evaluation.stratified import (
    Stratum,
    beta_distribution,
    stratified_interval,
    stratified_share,
)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(1, 50))
@settings(max_examples=30)
def test_one_stratum_has_the_exact_interval(counts: tuple[int, int], times: int) -> None:
    count, seen = counts
    ends = stratified_interval([Stratum(seen * times, seen, count)])
    assert ends == pytest.approx(clopper_pearson(count, seen), abs=1e-9)


def test_strata_of_which_the_same_share_was_drawn_are_one() -> None:
    strata = [Stratum(1000, 50, 2), Stratum(400, 20, 0), Stratum(100, 5, 1)]
    assert stratified_share(strata) == pytest.approx(3 / 75)
    assert stratified_interval(strata) == pytest.approx(clopper_pearson(3, 75), abs=1e-9)


def test_a_stratum_weighs_as_much_as_it_has_parts_and_an_unseen_one_says_nothing() -> None:
    strata = [Stratum(900, 9, 0), Stratum(100, 10, 5), Stratum(5000, 0, 0)]
    assert stratified_share(strata) == pytest.approx(0.05)
    low, high = stratified_interval(strata) or (1, 0)
    assert low < 0.05 < high
    assert high > (stratified_interval([Stratum(900, 90, 0), Stratum(100, 10, 5)]) or (0, 0))[1]
    assert stratified_share([Stratum(10, 0, 0)]) is None
    assert stratified_interval([Stratum(10, 0, 0)]) is None


def test_more_counted_than_seen_is_refused() -> None:
    for wrong in ((10, 5, 6), (4, 5, 1), (5, 5, -1)):
        with pytest.raises(ValueError, match="expected 0 <= count"):
            Stratum(*wrong)


def test_the_beta_distribution_is_the_binomial_tail() -> None:
    for n, k, p in ((10, 3, 0.2), (161, 1, 0.01), (48, 47, 0.9), (1000, 20, 0.03)):
        tail = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
        assert beta_distribution(p, k, n - k + 1) == pytest.approx(tail, rel=1e-9)
    assert (beta_distribution(0, 2, 3), beta_distribution(1, 2, 3)) == (0, 1)


@pytest.mark.parametrize(
    ("populations", "seen"), [((900, 100), (12, 12)), ((50, 1000), (15, 5)), ((500, 500), (1, 20))]
)
def test_coverage_is_exact_for_two_strata_whatever_their_rates(
    populations: tuple[int, int], seen: tuple[int, int]
) -> None:
    """Every outcome of both draws, weighted with its probability: the interval holds the truth in 95 % of them."""
    outcomes = list(product(*(range(n + 1) for n in seen)))
    strata = [[Stratum(*one) for one in zip(populations, seen, counts, strict=True)] for counts in outcomes]
    intervals = np.array([stratified_interval(one) for one in strata])
    rates = (0.0, 0.002, 0.02, 0.1, 0.3, 0.5, 0.8, 0.97)
    for pair in product(rates, repeat=2):
        truth = np.dot(populations, pair) / sum(populations)
        ways = [math.prod(_chance(n, k, p) for n, k, p in zip(seen, one, pair, strict=True)) for one in outcomes]
        holds = (intervals[:, 0] <= truth + 1e-12) & (truth - 1e-12 <= intervals[:, 1])
        assert np.array(ways)[holds].sum() >= 0.95, (pair, truth)


def test_coverage_holds_in_simulated_weeks() -> None:
    """Rare escapes, groups of very different lengths and draws."""
    random = np.random.default_rng(7)
    populations, seen = np.array([40_000, 9_000, 600, 90]), np.array([60, 40, 12, 3])
    for rates in ((0.001, 0.004, 0.02, 0.2), (0.03, 0.0, 0.1, 0.0)):
        truth = float(populations @ rates / populations.sum())
        counts = random.binomial(seen, rates, (1500, 4))
        hits = 0
        for row in counts:
            low, high = stratified_interval(
                [Stratum(*map(int, one)) for one in zip(populations, seen, row, strict=True)]
            ) or (1, 0)
            hits += low <= truth <= high
        assert hits >= 0.95 * len(counts)


def _chance(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)
