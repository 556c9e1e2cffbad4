"""Whether two detectors say the same of one picture: each box paired with the most similar one of its class."""

import numpy as np


def iou(a, b):
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def worst_match(found, expected):
    """Pair detections with the rows (class id, score, x1, y1, x2, y2) of a reference, each at most once.

    Returns: Lowest IoU and greatest difference of scores over all pairs; (1, 0) where there are none.
    Raises AssertionError where the numbers of boxes differ or a row has no partner of its class.
    """
    rows = list(zip(found.class_ids.tolist(), found.scores.tolist(), found.boxes_in_image.tolist(), strict=True))
    assert len(rows) == len(expected), f"{len(rows)} boxes found, the reference has {len(expected)}"
    lowest, farthest = 1.0, 0.0
    for class_id, score, *box in sorted(expected, key=lambda row: -row[1]):
        partners = [row for row in rows if row[0] == class_id]
        assert partners, f"the reference's box {box} of class {class_id} has no partner"
        best = max(partners, key=lambda row: iou(row[2], box) - abs(row[1] - score))
        rows.remove(best)
        lowest, farthest = min(lowest, iou(best[2], box)), max(farthest, abs(best[1] - score))
    return lowest, farthest


def clipped(rows, width_px, height_px):
    """Cut rows (class id, score, x1, y1, x2, y2) to the picture; what lies beside it goes."""
    kept = []
    for class_id, score, *box in rows:
        x1, y1, x2, y2 = np.clip(box, 0, [width_px, height_px, width_px, height_px]).tolist()
        if x2 > x1 and y2 > y1:
            kept.append((int(class_id), float(score), x1, y1, x2, y2))
    return kept


def plain_nms(rows, limit):
    """Suppress rows (class id, score, x1, y1, x2, y2) class by class: the textbook's loop."""
    kept = []
    for row in sorted(rows, key=lambda row: -row[1]):
        if all(row[0] != other[0] or iou(row[2:], other[2:]) <= limit for other in kept):
            kept.append(row)
    return kept
