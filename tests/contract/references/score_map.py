"""anomalib's scores and a plain flood fill over its map.

Source: anomalib post_processing/post_processor.py (`_normalize`, `_apply_threshold`); its 0.x and 1.x metadata.json
hold the same three numbers, and its inferencers apply them outside the graph.
"""

import numpy as np
from PIL import Image


def prepared(picture_rgb, width_px, height_px):
    """Pillow's bilinear resize, 0..1, NCHW: normalisation is inside the graph."""
    resized = Image.fromarray(picture_rgb).resize((width_px, height_px), Image.Resampling.BILINEAR)
    return (np.asarray(resized, np.float32) / 255).transpose(2, 0, 1)[None]


def normalised(raw, threshold, lowest, highest):
    return np.clip((raw - threshold) / (highest - lowest) + 0.5, 0, 1)


def regions(scores, size, threshold):
    """scores (h, w), size (width, height) of the picture: rows (0, highest score, corners) of touching pixels."""
    height, width = scores.shape
    unseen = {(y, x) for y in range(height) for x in range(width) if scores[y, x] > threshold}
    rows = []
    while unseen:
        todo, members = [unseen.pop()], []
        while todo:
            y, x = todo.pop()
            members.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & unseen
            unseen -= near
            todo += near
        ys, xs = zip(*members, strict=True)
        to_x, to_y = size[0] / width, size[1] / height
        corners = min(xs) * to_x, min(ys) * to_y, (max(xs) + 1) * to_x, (max(ys) + 1) * to_y
        rows.append((0, float(max(scores[member] for member in members)), *corners))
    return rows
