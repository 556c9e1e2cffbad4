"""How sure a counted rate is: 95 % intervals by Clopper and Pearson.

They are exact: the true rate lies inside in at least 95 of 100 such tests, for a count of 0 too, where simpler
formulas claim certainty. Source: Clopper and Pearson, Biometrika 26 (1934) 404-413.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

CONFIDENCE = 0.95
DIGITS = 6
_HALVINGS = 60  # until the interval is narrower than a float can tell


@dataclass(frozen=True)
class Rate:
    """A count, what it is counted of, and so a rate with its interval."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The rate; None of nothing."""
        return self.count / self.total if self.total else None

    @property
    def ci95(self) -> Interval | None:
        """The 95 % interval; None of nothing."""
        return clopper_pearson(self.count, self.total) if self.total else None


def rate_figures(count: str, total: str, rate: str, value: Rate) -> dict[str, Any]:
    """Return a rate's JSON form under these names: both counts, the rate and its interval."""
    interval = value.ci95
    return {
        count: value.count,
        total: value.total,
        rate: rounded(value.value),
        f"{rate}_ci95": [rounded(end) for end in interval] if interval else None,
    }


def rounded(value: float | None) -> float | None:
    """Round for JSON."""
    return None if value is None else round(value, DIGITS)


def clopper_pearson(count: int, total: int) -> Interval:
    """Return the exact 95 % interval of a rate, count of total."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else _solve(lambda p: 1 - _at_most(count - 1, total, p) < tail)
    high = 1.0 if count == total else _solve(lambda p: _at_most(count, total, p) > tail)
    return low, high


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return how likely discordant counts so uneven are, were both sides equally good: exact, two-sided.

    Source: McNemar, Psychometrika 12 (1947) 153-157; the exact binomial form.
    """
    total = only_first + only_second
    return min(1.0, 2 * _at_most(min(only_first, only_second), total, 0.5))


def _solve(is_too_low: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if is_too_low(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(count: int, total: int, p: float) -> float:
    """Return the binomial probability of `count` or fewer out of `total`; sums up the shorter tail."""
    if count < 0 or p >= 1:
        return float(count >= total)
    if p <= 0 or count >= total:
        return 1.0
    if count > total / 2:
        return 1 - _at_most(total - count - 1, total, 1 - p)
    k = np.arange(count + 1)
    return float(np.exp(_log_ways(count, total) + k * math.log(p) + (total - k) * math.log1p(-p)).sum())


@lru_cache(maxsize=8)
def _log_ways(count: int, total: int) -> NDArray[np.float64]:
    """Return the logarithms of the binomial coefficients of 0 to `count` out of `total`."""
    k = np.arange(1, count + 1)
    return np.concatenate([[0.0], np.cumsum(np.log(total - k + 1) - np.log(k))])
