"""RT-DETR and its kin, straight from their sources: pairs of query and class ranked, boxes in shares of the picture.

Sources: lyuwenyu/RT-DETR rtdetrv2_pytorch/src/zoo/rtdetr/rtdetr_postprocessor.py and references/deploy; transformers
image_processing_rt_detr.py (`post_process_object_detection`); Ultralytics' documentation of RTDETRPredictor.
"""

import math

import numpy as np
from PIL import Image


def prepared(picture_rgb, width_px, height_px):
    """Pillow's bilinear resize, 0..1, NCHW."""
    resized = Image.fromarray(picture_rgb).resize((width_px, height_px), Image.Resampling.BILINEAR)
    return (np.asarray(resized, np.float32) / 255).transpose(2, 0, 1)[None]


def _corners(box, width_px, height_px):
    cx, cy, w, h = (float(value) for value in box)
    return (cx - w / 2) * width_px, (cy - h / 2) * height_px, (cx + w / 2) * width_px, (cy + h / 2) * height_px


def from_logits(logits, boxes, size, threshold):
    """logits (Q, C), boxes (Q, 4) cx cy w h in 0..1, size (width, height) of the picture."""
    pairs = []
    for query, row in enumerate(logits.tolist()):
        for class_id, value in enumerate(row):
            pairs.append((1 / (1 + math.exp(-value)), class_id, query))
    ranked = sorted(pairs, reverse=True)[: len(logits)]
    return [(class_id, s, *_corners(boxes[query], *size)) for s, class_id, query in ranked if s > threshold]


def from_softmax_logits(logits, boxes, size, threshold):
    """DETR: the last column means no object; each query says its best class."""
    rows = []
    for row, box in zip(logits.tolist(), boxes, strict=True):
        total = sum(math.exp(value - max(row)) for value in row)
        shares = [math.exp(value - max(row)) / total for value in row][:-1]
        best = max(shares)
        if best > threshold:
            rows.append((shares.index(best), best, *_corners(box, *size)))
    return rows


def from_rows(rows, size, threshold):
    """(Q, 4 + C): cx cy w h in 0..1, a score for each class; each query says its best class."""
    found = []
    for row in rows.tolist():
        best = max(row[4:])
        if best > threshold:
            found.append((row[4:].index(best), best, *_corners(row[:4], *size)))
    return found


def from_ranked_rows(rows, size, threshold):
    """(K, 6): cx cy w h in 0..1, score, class."""
    return [(int(row[5]), row[4], *_corners(row[:4], *size)) for row in rows.tolist() if row[4] > threshold]


def from_lists(labels, boxes, scores, threshold):
    """What the official graph gives for the picture's own size: corners in its px."""
    rows = zip(labels.tolist(), scores.tolist(), boxes.tolist(), strict=True)
    return [(int(label), score, *box) for label, score, box in rows if score > threshold]
