"""Mean average precision, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from appliance.learning.deeppcb import CLASS_NAMES, Part
from appliance.modelling import Detections


def map50(parts: Sequence[Part], found: Sequence[Detections]) -> float:
    """Return the mean average precision at IoU 0.5 over the classes."""
    return average_precision(parts, found)["map50"]


def average_precision(parts: Sequence[Part], found: Sequence[Detections]) -> dict[str, float]:
    """Return pycocotools' figures: `map50`, `map50_95` and AP at 0.5 of each class as `ap50_<class>`."""
    rows = [
        [index, *_xywh(box), score, class_id + 1]
        for index, one in enumerate(found)
        for box, score, class_id in zip(one.boxes_in_image, one.scores, one.class_ids, strict=True)
    ]
    if not rows:
        return {"map50": 0.0, "map50_95": 0.0, **{f"ap50_{name}": 0.0 for name in CLASS_NAMES}}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints progress unconditionally
        truth = _coco_truth(parts)
        judge = COCOeval(truth, truth.loadRes(np.array(rows, np.float64)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][0, :, :, 0, -1]  # IoU 0.5, all areas, most detections: (recall, class)
    by_class = {f"ap50_{name}": float(precision[:, i].mean()) for i, name in enumerate(CLASS_NAMES)}
    return {"map50": float(judge.stats[1]), "map50_95": float(judge.stats[0]), **by_class}


def _coco_truth(parts: Sequence[Part]) -> COCO:
    annotations = [
        {
            "image_id": index,
            "bbox": _xywh(box),
            "area": float(np.prod(box[2:] - box[:2])),
            "category_id": int(class_id) + 1,
            "iscrowd": 0,
        }
        for index, part in enumerate(parts)
        for box, class_id in zip(part.boxes, part.class_ids, strict=True)
    ]
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": index} for index in range(len(parts))],
        "annotations": [{"id": number, **row} for number, row in enumerate(annotations, start=1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, start=1)],
    }
    truth.createIndex()
    return truth


def _xywh(box: NDArray[np.float32]) -> list[float]:
    return [float(x) for x in (box[0], box[1], box[2] - box[0], box[3] - box[1])]
