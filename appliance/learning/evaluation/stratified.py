"""How sure a share is that was counted in strata of which different parts were looked at.

The share of all parts is the sum of W_h c_h / n_h over the strata: W_h the stratum's share of the parts, n_h how many
of them were drawn at random and looked at, c_h how many of those have what is counted. With w_h = W_h / n_h the
estimate is y = sum(w_h c_h), and v = sum(w_h^2 c_h) its variance while c_h is rare.

The interval is Fay and Feuer's for weighted sums of counts (Statistics in Medicine 16 (1997) 791-801), which holds its
confidence for a count of 0 and for uneven weights too, with the beta distribution in place of the gamma: a draw of
n_h parts can't give more than n_h. Its lower end is the alpha/2 quantile of beta(x, m - x + 1) with m = y / v and
x = y m; its upper end takes one more count of the greatest weight w: y + w and v + w^2, beta(x, m - x + 1) of these.
Both ends are also found by counting what does *not* have it, and the wider one is taken. With one stratum, or the same
share of each drawn, it is Clopper and Pearson's exact interval. Strata that nobody looked at say nothing: the share is
that of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from appliance.learning.evaluation.intervals import CONFIDENCE, Interval

_HALVINGS = 60
_MOST_TERMS = 10_000
_TINY = 1e-300
_CONVERGED = 1e-14


@dataclass(frozen=True, order=True)
class Stratum:
    """Parts of which some were drawn at random.

    Attributes:
        population: Parts in all.
        seen: Of them drawn and looked at.
        count: Of those seen, with what is counted.
    """

    population: int
    seen: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.seen <= self.population:
            raise ValueError(f"expected 0 <= count <= seen <= population, got {self}")


def stratified_share(strata: Sequence[Stratum]) -> float | None:
    """Estimate the share of the parts with what is counted; None where nobody looked at any."""
    known = [stratum for stratum in strata if stratum.seen]
    total = sum(stratum.population for stratum in known)
    return sum(one.population * one.count / one.seen for one in known) / total if total else None


def stratified_interval(strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of `stratified_share`; None where nobody looked at any."""
    known = tuple(sorted(stratum for stratum in strata if stratum.seen))
    return _interval(known, confidence) if known else None


@lru_cache(maxsize=4096)
def _interval(strata: tuple[Stratum, ...], confidence: float) -> Interval:
    total = sum(stratum.population for stratum in strata)
    weights = [stratum.population / total / stratum.seen for stratum in strata]
    tail = (1 - confidence) / 2
    having = _Sum.of(weights, [stratum.count for stratum in strata])
    lacking = _Sum.of(weights, [stratum.seen - stratum.count for stratum in strata])
    low = min(having.lowest(tail), 1 - lacking.highest(tail))
    high = max(having.highest(tail), 1 - lacking.lowest(tail))
    return low, high


@dataclass(frozen=True)
class _Sum:
    """A weighted sum of counts, its variance, and the greatest weight."""

    value: float
    variance: float
    greatest: float

    @classmethod
    def of(cls, weights: Sequence[float], counts: Sequence[int]) -> _Sum:
        pairs = list(zip(weights, counts, strict=True))
        return cls(sum(w * c for w, c in pairs), sum(w * w * c for w, c in pairs), max(weights))

    def lowest(self, tail: float) -> float:
        return 0.0 if self.value == 0 else _quantile(tail, self.value, self.variance)

    def highest(self, tail: float) -> float:
        return _quantile(1 - tail, self.value + self.greatest, self.variance + self.greatest**2)


def _quantile(probability: float, value: float, variance: float) -> float:
    """Return the quantile of the beta distribution that stands for a sum of counts."""
    size = value / variance
    count = value * size
    rest = size - count + 1
    return 1.0 if rest <= 0 else beta_quantile(probability, count, rest)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return x with I_x(a, b) = probability; a and b are above 0."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beta_distribution(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_distribution(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b).

    Source: Abramowitz and Stegun, 26.5.8, the continued fraction, by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly on the other side
        return 1 - beta_distribution(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    upper, lower = 1.0, 1.0 / _away(1 - (a + b) * x / (a + 1))
    value = lower
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            lower = 1 / _away(1 + term * lower)
            upper = _away(1 + term / upper)
            value *= lower * upper
        if abs(lower * upper - 1) < _CONVERGED:
            return value
    raise ArithmeticError(f"incomplete beta function of {x}, {a}, {b}: no convergence in {_MOST_TERMS} terms")


def _away(value: float) -> float:
    """Keep a divisor away from 0, as Lentz's method asks."""
    return value if abs(value) > _TINY else _TINY
