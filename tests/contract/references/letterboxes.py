"""How the exporting libraries bring a BGR picture to their networks, and boxes back, from their sources."""

import cv2
import numpy as np
from PIL import Image


def ultralytics(picture, width_px, height_px):
    """LetterBox(auto=False) and scale_boxes of Ultralytics 8.4.190."""
    values, (left, top), sizes = _letterbox(picture, width_px, height_px)
    scales = [new / old for new, old in zip(sizes, picture.shape[1::-1], strict=True)] * 2
    return values, lambda box: [(v - pad) / s for v, pad, s in zip(box, [left, top] * 2, scales, strict=True)]


def yolov5(picture, width_px, height_px):
    """letterbox(auto=False) and scale_boxes of YOLOv5 7.0."""
    values, _, _ = _letterbox(picture, width_px, height_px)
    height, width = picture.shape[:2]
    gain = min(height_px / height, width_px / width)
    pads = [(width_px - width * gain) / 2, (height_px - height * gain) / 2] * 2
    return values, lambda box: [(v - pad) / gain for v, pad in zip(box, pads, strict=True)]


def _letterbox(picture, width_px, height_px):
    height, width = picture.shape[:2]
    gain = min(height_px / height, width_px / width)
    new_width, new_height = round(width * gain), round(height * gain)
    pad_x, pad_y = (width_px - new_width) / 2, (height_px - new_height) / 2
    if (width, height) != (new_width, new_height):
        picture = cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    top, bottom, left, right = (round(pad + e) for pad in (pad_y, pad_x) for e in (-0.1, 0.1))
    picture = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    values = picture[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    return values, (left, top), (new_width, new_height)


def yolox(picture, width_px, height_px):
    """yolox/data/data_augment.py, preproc: BGR, 0..255, top left."""
    height, width = picture.shape[:2]
    ratio = min(height_px / height, width_px / width)
    padded = np.ones((height_px, width_px, 3), np.uint8) * 114
    resized = cv2.resize(picture, (int(width * ratio), int(height * ratio)), interpolation=cv2.INTER_LINEAR)
    padded[: int(height * ratio), : int(width * ratio)] = resized
    return padded.transpose(2, 0, 1)[None].astype(np.float32), lambda box: [v / ratio for v in box]


def libreyolo(picture, width_px, height_px, *, pad, antialiased, divisor=255.0, as_bgr=False):
    """libreyolo/preprocess/yolox.py, yolo9.py and models/darknet/preprocess.py: top left, sizes cut off."""
    height, width = picture.shape[:2]
    ratio = min(height_px / height, width_px / width)
    size = int(width * ratio), int(height * ratio)
    rgb = np.ascontiguousarray(picture[..., ::-1])
    if antialiased:
        resized = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    else:
        resized = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.full((height_px, width_px, 3), pad, np.uint8)
    canvas[: size[1], : size[0]] = resized
    values = canvas[..., ::-1] if as_bgr else canvas
    values = values.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(divisor)
    return values, lambda box: [v / ratio for v in box]


def darknet(picture, width_px, height_px):
    """Centred as darknet's letterbox_image, with half-grey; integer arithmetic cuts off."""
    height, width = picture.shape[:2]
    ratio = min(height_px / height, width_px / width)
    size = int(width * ratio), int(height * ratio)
    left, top = (width_px - size[0]) // 2, (height_px - size[1]) // 2
    canvas = np.full((height_px, width_px, 3), 128, np.uint8)
    resized = cv2.resize(picture[..., ::-1].copy(), size, interpolation=cv2.INTER_LINEAR)
    canvas[top : top + size[1], left : left + size[0]] = resized
    values = canvas.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    return values, lambda box: [(v - off) / ratio for v, off in zip(box, [left, top] * 2, strict=True)]
