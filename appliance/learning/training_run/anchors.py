"""Anchors that fit the defects of a set: k-means over widths and heights, the distance being 1 - IoU.

Source: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 100


def fitting_anchors(sizes: NDArray[np.float32], count: int, seed: int) -> tuple[tuple[float, float], ...]:
    """Return width and height in px of each anchor, by area; empty where there are fewer different boxes than anchors.

    Args:
        sizes: (K, 2) width and height of each box, in px of the network's input.
    """
    boxes = np.maximum(sizes.astype(np.float64), 1.0)
    if len(np.unique(boxes.round(), axis=0)) < count:
        return ()
    centres = _spread(boxes, count, np.random.default_rng(seed))
    for _ in range(ROUNDS):
        nearest = _iou(boxes, centres).argmax(axis=1)
        moved = np.array(
            [
                np.median(boxes[nearest == place], axis=0) if (nearest == place).any() else centres[place]
                for place in range(count)
            ]
        )
        if np.array_equal(moved, centres):
            break
        centres = moved
    in_order = centres[np.argsort(centres.prod(axis=1))]
    return tuple((round(float(width), 1), round(float(height), 1)) for width, height in in_order)


def mean_best_iou(sizes: NDArray[np.float32], anchors: tuple[tuple[float, float], ...]) -> float:
    """Return how well the best anchor fits a box, on average: 1 is perfectly."""
    return float(_iou(sizes.astype(np.float64), np.array(anchors)).max(axis=1).mean())


def _spread(sizes: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Choose boxes that are unlike each other to begin with (k-means++)."""
    chosen = [sizes[rng.integers(len(sizes))]]
    while len(chosen) < count:
        away = 1.0 - _iou(sizes, np.array(chosen)).max(axis=1)
        weights = np.maximum(away, 1e-12) ** 2
        chosen.append(sizes[rng.choice(len(sizes), p=weights / weights.sum())])
    return np.array(chosen)


def _iou(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, A) IoU of boxes and anchors with a common corner."""
    overlap = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    iou: NDArray[np.float64] = overlap / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - overlap)
    return iou
