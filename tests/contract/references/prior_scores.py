"""UltraFace and plain SSD, straight from their demo: scores of each class thresholded and suppressed for itself.

Source: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB run_video_face_detect_onnx.py and box_utils_numpy.py.
"""

import cv2
import numpy as np
from references.box_match import plain_nms


def prepared(picture_bgr, width_px, height_px):
    """RGB, stretched, (value - 127) / 128."""
    picture = cv2.resize(cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2RGB), (width_px, height_px))
    return ((picture - np.array([127, 127, 127])) / 128).transpose(2, 0, 1)[None].astype(np.float32)


def decoded(scores, boxes, size, threshold, nms_iou):
    """scores (A, 1 + C) with the background first, boxes (A, 4) corners in 0..1, size (width, height)."""
    rows = []
    for row, box in zip(scores.tolist(), boxes.tolist(), strict=True):
        for class_id, score in enumerate(row[1:]):
            if score > threshold:
                rows.append((class_id, score, *(share * side for share, side in zip(box, size * 2, strict=True))))
    return plain_nms(rows, nms_iou)
