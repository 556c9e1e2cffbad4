"""YOLO families: bundles of trained files against transcriptions of what the exporting libraries do with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from references import letterboxes, yolo_heads
from references.box_match import clipped, plain_nms, worst_match
from references.pictures import CASES, pictures, run_file
from references.quick_import import import_here

from appliance.modelling.detector import Detector

SIZE, STRIDES, CLASSES = 160, (8, 16, 32), ("open", "short", "other")
SCORE = 0.1
ANCHORS = [[[14, 14], [22, 16], [18, 28]], [[30, 24], [26, 40], [40, 34]], [[60, 40], [48, 70], [80, 80]]]
"""Of the small networks with anchors; such a file doesn't hold them."""


@dataclass(frozen=True)
class Case:
    """A file, what a person says of it, and what its library does around it.

    Attributes:
        rows: Turns the file's outputs into rows (class id, score, corners in model input).
        clips_first: Overlaps are measured in the picture, after clipping.
        suppresses: False where the network or its graph does.
    """

    file: str
    family: str
    prepare: Callable
    rows: Callable
    nms_iou: float
    options: dict[str, Any] = field(default_factory=dict)
    clips_first: bool = False
    suppresses: bool = True

    @property
    def name(self) -> str:
        return self.file.rpartition("/")[2]


def _as_maps(outputs):
    return [output[0].reshape(3, -1, *output.shape[2:]).transpose(0, 2, 3, 1) for output in outputs]


def _list_as_maps(outputs):
    sizes = [(SIZE // stride, SIZE // stride) for stride in STRIDES]
    first, maps = 0, []
    for height, width in sizes:
        maps.append(outputs[0][0][first : first + 3 * height * width].reshape(3, height, width, -1))
        first += 3 * height * width
    return maps


def _anchored(formula, maps):
    return lambda outputs: yolo_heads.anchors(maps(outputs), STRIDES, ANCHORS, SCORE, formula)


def _finished(outputs):
    for x1, y1, x2, y2, score, class_id in outputs[0][0].tolist():
        if score > SCORE:
            yield class_id, score, x1, y1, x2, y2


def _yolox_maps_as_list(outputs):
    rows = [output[0].reshape(output.shape[1], -1).T for output in outputs]
    return [row for part in rows for row in part]


def _yolox_grid(candidates):
    return yolo_heads.yolox_grid(candidates, SIZE, SIZE, STRIDES, SCORE)


_TOP_LEFT = partial(letterboxes.libreyolo, pad=114, antialiased=False)
_DARKNET_OF_LIBREYOLO = partial(letterboxes.libreyolo, pad=128, antialiased=True)
_YOLOX_OF_LIBREYOLO = partial(letterboxes.libreyolo, pad=114, antialiased=True, divisor=1.0, as_bgr=True)
_NAMED = {"classes": CLASSES}
_V5 = {**_NAMED, "family": "yolov5", "decode": {"anchors": ANCHORS}}

CASE_TABLE = (
    Case(
        "yolov8/yolov8_rows",
        "yolov8",
        letterboxes.ultralytics,
        lambda outputs: yolo_heads.class_scores_only(outputs[0][0].T, SCORE),
        0.7,
    ),
    Case(
        "yolov8/yolov8_transposed",
        "yolov8",
        letterboxes.ultralytics,
        lambda outputs: yolo_heads.class_scores_only(outputs[0][0], SCORE),
        0.7,
        _NAMED,
    ),
    Case(
        "yolov8/yolov9_libreyolo",
        "yolov8",
        _TOP_LEFT,
        lambda outputs: yolo_heads.class_scores_only(outputs[0][0].T, SCORE, corners=True, every_class=True),
        0.45,
        clips_first=True,
    ),
    Case("end_to_end/yolo26_rows", "end_to_end", letterboxes.ultralytics, _finished, 0.7, suppresses=False),
    Case("end_to_end/yolov8_nms", "end_to_end", letterboxes.ultralytics, _finished, 0.7, suppresses=False),
    Case(
        "yolov5/yolov5_boxes",
        "yolov5",
        letterboxes.yolov5,
        lambda outputs: yolo_heads.with_objectness(outputs[0][0], SCORE),
        0.45,
    ),
    Case(
        "yolov5/yolov5_raw_maps",
        "yolov5",
        letterboxes.yolov5,
        _anchored(yolo_heads.yolov5_box, lambda outputs: [output[0] for output in outputs]),
        0.45,
        _V5,
    ),
    Case(
        "yolov5/yolov5_raw_list",
        "yolov5",
        letterboxes.yolov5,
        _anchored(yolo_heads.yolov5_box, _list_as_maps),
        0.45,
        _V5,
    ),
    Case(
        "yolov3/yolov3_raw_maps",
        "yolov3",
        letterboxes.darknet,
        _anchored(yolo_heads.yolov3_box, _as_maps),
        0.45,
        {**_NAMED, "decode": {"anchors": ANCHORS}, "fit": "letterbox_floor"},
    ),
    Case(
        "yolov3/yolov3_libreyolo",
        "yolov3",
        _DARKNET_OF_LIBREYOLO,
        lambda outputs: yolo_heads.class_scores_only(outputs[0][0].T, SCORE, corners=True),
        0.45,
        clips_first=True,
    ),
    Case(
        "yolox/yolox_raw_list",
        "yolox",
        letterboxes.yolox,
        lambda outputs: _yolox_grid(outputs[0][0]),
        0.45,
        _NAMED,
    ),
    Case(
        "yolox/yolox_raw_maps",
        "yolox",
        letterboxes.yolox,
        lambda outputs: _yolox_grid(_yolox_maps_as_list(outputs)),
        0.45,
        _NAMED,
    ),
    Case(
        "yolox/yolox_libreyolo",
        "yolox",
        _YOLOX_OF_LIBREYOLO,
        lambda outputs: yolo_heads.with_objectness(outputs[0][0], SCORE),
        0.45,
        clips_first=True,
    ),
)


def reference(case, picture):
    """What the exporting library finds: rows (class id, score, corners in the picture)."""
    height, width = picture.shape[:2]
    values, to_picture = case.prepare(picture, SIZE, SIZE)
    rows = list(case.rows(run_file(CASES / f"{case.file}.onnx", values)))
    in_picture = [(class_id, score, *to_picture(box)) for class_id, score, *box in rows]
    if case.clips_first:
        return plain_nms(clipped(in_picture, width, height), case.nms_iou)
    kept = plain_nms(rows, case.nms_iou) if case.suppresses else rows
    return clipped([(class_id, score, *to_picture(box)) for class_id, score, *box in kept], width, height)


@pytest.mark.parametrize("case", CASE_TABLE, ids=lambda case: case.name)
def test_finds_what_the_exporting_library_finds(case, tmp_path):
    bundle = import_here(CASES / f"{case.file}.onnx", tmp_path / "bundle", **case.options)
    assert (bundle.family, bundle.thresholds.nms_iou) == (case.family, case.nms_iou if case.suppresses else 0.45)
    detector = Detector(bundle, threads=1)
    boxes = 0
    for name, picture in pictures():
        expected = reference(case, picture)
        (found,) = detector.detect([picture], pixel_format="BGR8", score=SCORE)
        lowest_iou, score_difference = worst_match(found, expected)
        assert lowest_iou >= 0.99, name
        assert score_difference <= 1e-3, name
        boxes += len(expected)
    assert boxes >= 8
