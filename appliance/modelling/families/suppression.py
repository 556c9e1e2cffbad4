"""Non-maximum suppression: of overlapping boxes the best one stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def suppress(boxes: NDArray[np.float32], class_ids: NDArray[np.int64], nms_iou: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Args:
        boxes: (K, 4) float32 xyxy, best first. Boxes without area are dropped.
        class_ids: (K,) int64; boxes of different classes never suppress each other.
        nms_iou: Largest overlap (intersection over union) two kept boxes of a class may have.
    Returns:
        Indices of the kept boxes, best first.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    areas = sizes[:, 0] * sizes[:, 1]
    alive = (sizes[:, 0] > 0) & (sizes[:, 1] > 0)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = np.maximum(high - low, np.float32(0)).prod(axis=2)
    union = areas[:, None] + areas[None, :] - overlap
    rivals = (overlap > nms_iou * union) & (class_ids[:, None] == class_ids[None, :])
    kept = []
    for index in range(len(boxes)):
        if alive[index]:
            kept.append(index)
            alive &= ~rivals[index]
    return np.array(kept, np.int64)
