"""Which detection lies on which labelled defect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOUND_IOU = {"detect": 0.3, "anomaly": 1e-6}
"""A defect is found when a detection of any class overlaps it this much; a region of a map need only touch it."""


def pairwise_iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (G, K) intersection over union of xyxy boxes (G, 4) and (K, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - overlap
    return np.asarray(overlap / np.maximum(union, 1e-9), np.float32)


def are_found(truth: NDArray[np.float32], boxes: NDArray[np.float32], task: str) -> NDArray[np.bool_]:
    """Return (G,) bool: which labelled boxes some detection overlaps."""
    return np.asarray((pairwise_iou(truth, boxes) >= FOUND_IOU[task]).any(axis=1), np.bool_)
