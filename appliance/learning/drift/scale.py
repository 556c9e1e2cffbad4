"""Counts on a fixed scale: small enough to keep by the hour, fine enough to compare."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

Histogram = Counter[int]
"""Views by bin."""

TOLERANCE_BINS = 1
"""A difference of less than one bin is never drift, however many parts agree on it."""


@dataclass(frozen=True)
class Scale:
    """Bins of one signal; a bin is the smallest difference that counts.

    Attributes:
        step: Width of a bin; of a ratio scale the ratio of neighbouring bins.
        lowest: Lower end of bin 1 of a ratio scale; bin 0 is everything below.
        unit: For people.
    """

    step: float
    lowest: float | None = None
    unit: str = ""

    def bin_of(self, value: float) -> int:
        """Find the bin of a value; never negative."""
        if self.lowest is None:
            return max(0, math.floor(value / self.step + 1e-9))
        if value < self.lowest:
            return 0
        return 1 + math.floor(math.log(value / self.lowest) / math.log(self.step) + 1e-9)

    def start_of(self, place: int) -> float:
        """Give the lower end of a bin."""
        if self.lowest is None:
            return place * self.step
        return 0.0 if place == 0 else self.lowest * self.step ** (place - 1)

    def middle_of(self, place: int) -> float:
        """Give the middle of a bin."""
        return (self.start_of(place) + self.start_of(place + 1)) / 2


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Add histograms up."""
    total: Histogram = Counter()
    for one in histograms:
        total.update(one)
    return total


def quantile(histogram: Histogram, share: float) -> int | None:
    """Find the bin that holds a quantile; None of nothing."""
    total, below = histogram.total(), 0
    for place in sorted(histogram):
        below += histogram[place]
        if below >= share * total and below:
            return place
    return None


def distance(one: Histogram, other: Histogram, tolerance: int = TOLERANCE_BINS) -> float:
    """Return how far two distributions are apart: Kolmogorov and Smirnov's distance, shifts within tolerance forgiven.

    The largest share of one that lies below a value, above what the other has below the same value and the tolerance.
    """
    if not one or not other:
        return 0.0
    first, last = min(*one, *other), max(*one, *other)
    ones, others = _cumulated(one, first, last + tolerance), _cumulated(other, first, last + tolerance)
    return max(
        0.0,
        *(below - beyond for below, beyond in zip(ones, others[tolerance:], strict=False)),
        *(below - beyond for below, beyond in zip(others, ones[tolerance:], strict=False)),
    )


def _cumulated(histogram: Histogram, first: int, last: int) -> list[float]:
    total = histogram.total()
    return [below / total for below in accumulate(histogram.get(place, 0) for place in range(first, last + 1))]


def outside_share(histogram: Histogram, low: int, high: int, tolerance: int = TOLERANCE_BINS) -> float:
    """Return the share that lies below `low` or above `high`, both bins and the tolerance beside them included."""
    beyond = sum(count for place, count in histogram.items() if not low - tolerance <= place <= high + tolerance)
    return beyond / histogram.total() if histogram else 0.0


def plain(histogram: Histogram) -> dict[str, int]:
    """Write it for JSON."""
    return {str(place): histogram[place] for place in sorted(histogram)}


def from_plain(content: dict[str, int]) -> Histogram:
    """Read what `plain` wrote.

    Raises:
        ValueError: A bin or count is none.
    """
    histogram = Counter({int(place): int(count) for place, count in content.items()})
    if any(place < 0 or count < 0 for place, count in histogram.items()):
        raise ValueError("a histogram's bins and counts are never negative")
    return histogram
