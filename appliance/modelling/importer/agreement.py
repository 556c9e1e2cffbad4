"""Whether two runs of a network say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHARE_OF_EQUALS = 0.98


def farthest_apart(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    """Largest difference of any value, divided by the value where that is above one; infinite where shapes differ."""
    worst = 0.0
    for one, other in zip(found, expected, strict=True):
        a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
        if a.shape != b.shape:
            return float("inf")
        if a.size:
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            with np.errstate(invalid="ignore"):  # of infinite values
                apart = np.where(same, 0.0, np.abs(a - b) / np.maximum(np.abs(b), 1.0))
            worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max()))
    return worst


def say_the_same(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]], tolerance: float) -> bool:
    """Whether all values agree, or, where rows are ranked, all but a few of the sorted values of each column.

    Networks that rank their rows swap two of nearly equal score when sums are rounded otherwise.
    """
    if farthest_apart(found, expected) <= tolerance:
        return True
    return all(
        one.shape == other.shape and one.ndim in (2, 3) and one.shape[1] > 1 and _same_ranks(one, other, tolerance)
        for one, other in zip(found, expected, strict=True)
    )


def _same_ranks(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> bool:
    a, b = np.sort(np.asarray(found, np.float64), axis=1), np.sort(np.asarray(expected, np.float64), axis=1)
    close = np.abs(a - b) <= tolerance * np.maximum(np.abs(b), 1.0)
    return bool((close.mean(axis=1) >= _SHARE_OF_EQUALS).all())
