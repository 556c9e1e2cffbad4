"""Area under the ROC curve: how likely a random NG part scores higher than a random OK part, ties half."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def auroc(scores: NDArray[np.float64], is_ng: NDArray[np.bool_]) -> float | None:
    """Return the area; None where one kind of part is missing.

    Source: Hanley and McNeil, Radiology 143 (1982) 29-36: the area is the Mann-Whitney statistic.
    """
    ng, ok = scores[is_ng], np.sort(scores[~is_ng])
    if not len(ng) or not len(ok):
        return None
    return float(_wins(ng, ok).mean() / len(ok))


def resampled_auroc(
    scores: NDArray[np.float64], is_ng: NDArray[np.bool_], is_ok: NDArray[np.bool_], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return (R,) areas of resampled sets; NaN where one kind is missing.

    Args:
        weights: (R, P), how often each part is in each resample.
    """
    compared = (np.sign(scores[is_ng][:, None] - scores[is_ok][None]) + 1) / 2  # (NG, OK): 1 won, 0.5 tie
    of_ng, of_ok = weights[:, is_ng].astype(np.float64), weights[:, is_ok].astype(np.float64)
    pairs = of_ng.sum(axis=1) * of_ok.sum(axis=1)
    won = ((of_ng @ compared) * of_ok).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0), np.float64)


def _wins(ng: NDArray[np.float64], sorted_ok: NDArray[np.float64]) -> NDArray[np.float64]:
    below = np.searchsorted(sorted_ok, ng, side="left")
    not_above = np.searchsorted(sorted_ok, ng, side="right")
    return np.asarray((below + not_above) / 2, np.float64)
