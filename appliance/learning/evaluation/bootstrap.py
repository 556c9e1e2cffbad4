"""The bootstrap over parts: how much a figure depends on which parts happened to be in the set.

Images of one part stay together. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.learning.evaluation.intervals import CONFIDENCE, Interval

RESAMPLES = 1000
SEED = 20_240_229  # any number; fixed so that two runs, and two models, see the same resamples


def resample(part_count: int, resamples: int) -> NDArray[np.int64]:
    """Return (R, P) int64: how often each part is drawn, with replacement, in each resample."""
    draw = np.random.default_rng(SEED).multinomial(part_count, np.full(part_count, 1 / part_count), size=resamples)
    return np.asarray(draw, np.int64)


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """Return the interval that holds 95 % of the resamples' figures; those that are NaN don't count."""
    known = values[~np.isnan(values)]
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)
