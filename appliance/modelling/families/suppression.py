"""Non-maximum suppression: of overlapping boxes the best one stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256
"""Boxes compared with one another at once. The result doesn't depend on it: a frame full of noise ends with the first
blocks, because so many boxes are kept there, and one full of equal boxes drops whole blocks by one comparison."""


def suppress(
    boxes: NDArray[np.float32],
    class_ids: NDArray[np.int64] | None,
    nms_iou: float,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Args:
        boxes: (K, 4) float32 xyxy, best first. Boxes without area are dropped.
        class_ids: (K,) int64; boxes of different classes never suppress each other. None: classes make no difference.
        nms_iou: Largest overlap (intersection over union) two kept boxes of a class may have.
        limit: The search ends when so many are kept: the same boxes as the first `limit` of a search without it.
    Returns:
        Indices of the kept boxes, best first.
    """
    classes = np.zeros(len(boxes), np.int64) if class_ids is None else class_ids
    sizes = boxes[:, 2:] - boxes[:, :2]
    order = np.flatnonzero((sizes[:, 0] > 0) & (sizes[:, 1] > 0))
    kept = np.zeros(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        if limit is not None and len(kept) >= limit:
            break
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~_rivals(boxes, classes, kept, block, nms_iou).any(axis=0)]
        kept = np.concatenate([kept, block[_best_of(_rivals(boxes, classes, block, block, nms_iou))]])
    return kept[:limit]


def _rivals(
    boxes: NDArray[np.float32],
    classes: NDArray[np.int64],
    some: NDArray[np.int64],
    others: NDArray[np.int64],
    nms_iou: float,
) -> NDArray[np.bool_]:
    """Tell which of `some` (rows) and `others` (columns) can't both stay."""
    first, second = boxes[some], boxes[others]
    width = np.minimum(first[:, None, 2], second[None, :, 2]) - np.maximum(first[:, None, 0], second[None, :, 0])
    height = np.minimum(first[:, None, 3], second[None, :, 3]) - np.maximum(first[:, None, 1], second[None, :, 1])
    both = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
    union = _area(first)[:, None] + _area(second)[None, :] - both
    rivals: NDArray[np.bool_] = both > np.float32(nms_iou) * union
    rivals &= classes[some][:, None] == classes[others][None, :]
    return rivals


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _best_of(rivals: NDArray[np.bool_]) -> list[int]:
    """Take the rows in order, each unless one taken before is its rival."""
    alive = np.ones(len(rivals), np.bool_)
    kept = []
    for index in range(len(rivals)):
        if alive[index]:
            kept.append(index)
            alive &= ~rivals[index]
    return kept
