"""FastestDet, straight from its test program: one loop over the cells of the map.

Source: dog-qiuqiu/FastestDet test.py, utils/tool.py (`handle_preds`), example/onnx-runtime/runtime.py.
"""

import math

import cv2
import numpy as np
from references.box_match import plain_nms


def prepared(picture_bgr, width_px, height_px):
    """BGR, stretched, 0..1."""
    resized = cv2.resize(picture_bgr, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return resized.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)


def decoded(grid, size, threshold, nms_iou):
    """grid (5 + C, H, W), size (width, height) of the picture."""
    _, height, width = grid.shape
    rows = []
    for y in range(height):
        for x in range(width):
            cell = grid[:, y, x].tolist()
            shares = cell[5:]
            score = cell[0] ** 0.6 * max(shares) ** 0.4
            if score > threshold:
                cx, cy = (x + math.tanh(cell[1])) / width, (y + math.tanh(cell[2])) / height
                w, h = 1 / (1 + math.exp(-cell[3])), 1 / (1 + math.exp(-cell[4]))
                corners = (cx - w / 2) * size[0], (cy - h / 2) * size[1], (cx + w / 2) * size[0], (cy + h / 2) * size[1]
                rows.append((shares.index(max(shares)), score, *corners))
    return plain_nms(rows, nms_iou)
