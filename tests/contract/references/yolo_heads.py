"""What the papers and the exporting libraries make of YOLO heads, one candidate after the other.

Every function gives rows (class id, score, x1, y1, x2, y2) in px of the model input, not yet suppressed.
"""

import math

import numpy as np


def _sigmoid(value):
    return 1 / (1 + math.exp(-float(value)))


def _corners(cx, cy, w, h):
    return float(cx - w / 2), float(cy - h / 2), float(cx + w / 2), float(cy + h / 2)


def class_scores_only(candidates, score, *, corners=False, every_class=False):
    """Candidates (A, 4 + C): YOLOv8 and its kin; libreyolo's YOLOv9 takes every class, its Darknet the best."""
    for candidate in candidates.tolist():
        box, classes = candidate[:4], candidate[4:]
        box = tuple(box) if corners else _corners(*box)
        best = max(range(len(classes)), key=classes.__getitem__)
        for class_id in range(len(classes)) if every_class else [best]:
            if classes[class_id] > score:
                yield class_id, classes[class_id], *box


def with_objectness(candidates, score):
    """Candidates (A, 5 + C) after the sigmoid: YOLOv5 and YOLOX."""
    for cx, cy, w, h, objectness, *classes in candidates.tolist():
        best = max(range(len(classes)), key=classes.__getitem__)
        if objectness * classes[best] > score:
            yield best, objectness * classes[best], *_corners(cx, cy, w, h)


def yolox_grid(candidates, width_px, height_px, strides, score):
    """Megvii's demo_postprocess on (A, 5 + C): scale by scale, row by row."""
    index = 0
    for stride in strides:
        for y in range(height_px // stride):
            for x in range(width_px // stride):
                tx, ty, tw, th, objectness, *classes = candidates[index].tolist()
                index += 1
                best = max(range(len(classes)), key=classes.__getitem__)
                if objectness * classes[best] > score:
                    box = (tx + x) * stride, (ty + y) * stride, math.exp(tw) * stride, math.exp(th) * stride
                    yield best, objectness * classes[best], *_corners(*box)
    assert index == len(candidates)


def anchors(maps, strides, sizes, score, formula):
    """Maps (anchor, H, W, 5 + C) of raw numbers; sizes[scale][anchor] is the anchor's width and height in px."""
    for values, stride, scale in zip(maps, strides, sizes, strict=True):
        for anchor, y, x in np.ndindex(values.shape[:3]):
            numbers = values[anchor, y, x].tolist()
            objectness, classes = _sigmoid(numbers[4]), [_sigmoid(value) for value in numbers[5:]]
            best = max(range(len(classes)), key=classes.__getitem__)
            if objectness * classes[best] > score:
                yield best, objectness * classes[best], *_corners(*formula(numbers, x, y, stride, *scale[anchor]))


def yolov3_box(numbers, x, y, stride, width, height):
    """Redmon & Farhadi 2018, section 2.1: bx = sigmoid(tx) + cx, bw = pw e^tw."""
    tx, ty, tw, th = numbers[:4]
    return (_sigmoid(tx) + x) * stride, (_sigmoid(ty) + y) * stride, width * math.exp(tw), height * math.exp(th)


def yolov5_box(numbers, x, y, stride, width, height):
    """YOLOv5: bx = 2 sigmoid(tx) - 0.5 + cx, bw = pw (2 sigmoid(tw))^2."""
    tx, ty, tw, th = (_sigmoid(value) for value in numbers[:4])
    return (2 * tx - 0.5 + x) * stride, (2 * ty - 0.5 + y) * stride, width * (2 * tw) ** 2, height * (2 * th) ** 2
