"""Detectors that suppress inside their graph: the bundle against the file itself, read as its library documents it."""

import cv2
import numpy as np
import pytest
from references.box_match import clipped, worst_match
from references.pictures import CASES, pictures, run_file
from references.quick_import import import_here

from appliance.modelling.detector import Detector

FOLDER = CASES / "boxes_labels_scores"
CLASSES = ("missing_copper", "extra_copper")
SIDE_PX = 160


def torchvision(picture, size, score):
    """One picture (3, H, W) in 0..1; boxes in px of the input, labels from 1. Source: torchvision's documentation."""
    resized = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (SIDE_PX, SIDE_PX))
    values = resized.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    boxes, scores, labels = run_file(FOLDER / "torchvision_ssd.onnx", values)
    to_picture = np.array(size * 2) / SIDE_PX
    rows = zip(labels.tolist(), scores.tolist(), (boxes * to_picture).tolist(), strict=True)
    return [(label - 1, one, *box) for label, one, box in rows if one > score]


def tensorflow(picture, size, score):
    """One picture (1, H, W, 3) uint8; shares y1 x1 y2 x2, labels from 1. Source: Object Detection API exporter."""
    values = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (SIDE_PX, SIDE_PX))[None]
    boxes, classes, scores, number = run_file(FOLDER / "tensorflow_ssd.onnx", values)
    rows = []
    for index in range(int(number[0])):
        y1, x1, y2, x2 = boxes[0, index].tolist()
        if scores[0, index] > score:
            corners = x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]
            rows.append((int(classes[0, index]) - 1, float(scores[0, index]), *corners))
    return rows


@pytest.mark.parametrize("reference", [torchvision, tensorflow])
def test_finds_what_the_file_finds(reference, tmp_path):
    bundle = import_here(FOLDER / f"{reference.__name__}_ssd.onnx", tmp_path / "bundle", classes=CLASSES)
    assert bundle.family == "boxes_labels_scores"
    detector = Detector(bundle, threads=1)
    for score in (0.4, 0.1):
        boxes = 0
        for name, picture in pictures():
            size = picture.shape[1::-1]
            expected = clipped(reference(picture, size, score), *size)
            (found,) = detector.detect([picture], pixel_format="BGR8", score=score)
            lowest_iou, score_difference = worst_match(found, expected)
            assert lowest_iou >= 0.99, name
            assert score_difference <= 1e-3, name
            boxes += len(expected)
        assert boxes >= 2
