"""How sure a difference of two rates is, without numpy.

Source: Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10: Wilson's score intervals of both rates, put
together. It keeps its promise at small counts and at 0, where the normal approximation claims certainty.
"""

from __future__ import annotations

import math

Count = tuple[int, int]
"""How many, of how many."""


def difference_margin(one: Count, other: Count, z: float) -> float:
    """Return how much two rates may differ by chance: from their difference to the nearer end of its interval.

    Args:
        z: Of the normal distribution: 1.96 for 95 %.
    """
    p, q = one[0] / one[1], other[0] / other[1]
    (low_p, high_p), (low_q, high_q) = wilson(*one, z), wilson(*other, z)
    return math.hypot(p - low_p, high_q - q) if p >= q else math.hypot(high_p - p, q - low_q)


def wilson(count: int, total: int, z: float) -> tuple[float, float]:
    """Return Wilson's score interval of a rate, count of total.

    Source: Wilson, Journal of the American Statistical Association 22 (1927) 209-212.
    """
    p, square = count / total, z * z
    middle = (p + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(p * (1 - p) / total + square / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)
