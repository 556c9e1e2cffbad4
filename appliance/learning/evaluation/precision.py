"""Average precision by pycocotools; bootstrap resamples reuse its matching, image weights in place of copies."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from appliance.learning.datasets import LabelledImage
from appliance.modelling import Detections

MAX_DETECTIONS = 100
IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""pycocotools' thresholds: 0.50, 0.55 … 0.95."""
IOU_AT_50 = 0  # index of IoU 0.5 among them
_CELLS_AT_ONCE = 1_000_000  # detections times resamples: a few times 8 MB
_EVERY_SIZE = [0, 1e10]


@dataclass(frozen=True)
class Curve:
    """Detections of one class against the truth, best score first, as pycocotools matched them.

    Attributes:
        scores: (D,) float64. images: (D,) int64, index of the image.
        is_true: (T, D) bool at each IoU threshold; is_ignored: (T, D) bool, neither true nor false.
        truths: (I,) int64, boxes of the class that count, of each image.
    """

    scores: NDArray[np.float64]
    images: NDArray[np.int64]
    is_true: NDArray[np.bool_]
    is_ignored: NDArray[np.bool_]
    truths: NDArray[np.int64]


@dataclass(frozen=True)
class Precision:
    """Average precision of a model on a set.

    Attributes:
        table: (T, C) float64, AP at each IoU threshold for each class; NaN where the set has no box of the class.
        curves: One for each class.
    """

    table: NDArray[np.float64]
    curves: tuple[Curve, ...]

    @property
    def map50(self) -> float | None:
        """Mean over the classes of AP at IoU 0.5; None where the set has no boxes."""
        return _mean(self.table[IOU_AT_50])

    @property
    def map50_95(self) -> float | None:
        """Mean over the classes and IoU 0.50, 0.55 … 0.95."""
        return _mean(self.table)

    def ap50(self, class_id: int) -> float | None:
        """AP of one class at IoU 0.5; None where the set has no box of it."""
        return _mean(self.table[IOU_AT_50, class_id])

    def ap50_95(self, class_id: int) -> float | None:
        """AP of one class, mean over the IoU thresholds."""
        return _mean(self.table[:, class_id])

    def resampled(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return `map50` and `map50_95` of resampled sets.

        Args:
            weights: (R, I), how often each image is in each resample.
        Returns:
            (R, 2) float64; NaN for a resample without boxes.
        """
        step = max(1, _CELLS_AT_ONCE // max(1, *(len(curve.scores) for curve in self.curves)))
        parts = [_of_resamples(self.curves, weights[first : first + step]) for first in range(0, len(weights), step)]
        return np.concatenate(parts)


def average_precision(
    images: Sequence[LabelledImage], found: Sequence[Detections], class_names: Sequence[str]
) -> Precision:
    """Let pycocotools compare detections with the truth.

    Args:
        images: The truth; class ids index `class_names`. Ignored boxes are COCO's crowds.
        found: One item for each image.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints progress unconditionally
        truth = _coco(images, class_names)
        rows = _rows(found)
        results = truth.loadRes(rows) if len(rows) else _coco([], class_names)
        judge = COCOeval(truth, results, "bbox")
        judge.params.imgIds = list(range(len(images)))
        judge.params.catIds = list(range(1, len(class_names) + 1))
        judge.params.areaRng, judge.params.areaRngLbl = [_EVERY_SIZE], ["all"]
        judge.params.maxDets = [MAX_DETECTIONS]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 0]  # (T, recall, C); -1 where the class has no truth
    table = np.where((precision < 0).any(axis=1), np.nan, precision.mean(axis=1))
    thresholds = len(judge.params.iouThrs)
    of_class = [judge.evalImgs[place : place + len(images)] for place in range(0, len(judge.evalImgs), len(images))]
    return Precision(table, tuple(_curve(rows, thresholds) for rows in of_class))


def recall_grid() -> NDArray[np.float64]:
    """Return the 101 recalls at which COCO reads a curve."""
    return np.linspace(0.0, 1.0, 101)


def _curve(results: Sequence[dict[str, Any] | None], thresholds: int) -> Curve:
    scores, images = [np.zeros(0)], [np.zeros(0, np.int64)]
    is_true, is_ignored = [np.zeros((thresholds, 0), np.bool_)], [np.zeros((thresholds, 0), np.bool_)]
    truths = np.zeros(len(results), np.int64)
    for index, result in enumerate(results):
        if result is None:  # neither truth nor detections
            continue
        scores.append(np.asarray(result["dtScores"], np.float64))
        images.append(np.full(len(result["dtScores"]), index, np.int64))
        ignored = np.asarray(result["dtIgnore"], np.bool_).reshape(thresholds, -1)
        is_ignored.append(ignored)
        is_true.append((np.asarray(result["dtMatches"]).reshape(thresholds, -1) > 0) & ~ignored)
        truths[index] = int((np.asarray(result["gtIgnore"]) == 0).sum())
    order = np.argsort(-np.concatenate(scores), kind="mergesort")  # as pycocotools sorts
    return Curve(
        scores=np.concatenate(scores)[order],
        images=np.concatenate(images)[order],
        is_true=np.concatenate(is_true, axis=1)[:, order],
        is_ignored=np.concatenate(is_ignored, axis=1)[:, order],
        truths=truths,
    )


def _of_resamples(curves: Sequence[Curve], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    table = np.stack([_weighted(curve, weights) for curve in curves], axis=2)  # (R, T, C)
    is_there = ~np.isnan(table)
    sums = np.where(is_there, table, 0.0)
    with np.errstate(invalid="ignore"):
        map50 = sums[:, IOU_AT_50].sum(axis=1) / is_there[:, IOU_AT_50].sum(axis=1)
        map50_95 = sums.sum(axis=(1, 2)) / is_there.sum(axis=(1, 2))
    return np.stack([map50, map50_95], axis=1)


def _weighted(curve: Curve, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return AP (R, T) of one class: pycocotools' `accumulate` with weights.

    The envelope of precision over recall bends at true detections only, so the others are counted, not kept.
    """
    truths = weights @ curve.truths
    needed = _needed(truths)
    of_detection = weights[:, curve.images]
    result = np.empty((len(weights), len(curve.is_true)))
    for threshold, (is_true, is_ignored) in enumerate(zip(curve.is_true, curve.is_ignored, strict=True)):
        places = np.flatnonzero(is_true)
        true = np.cumsum(of_detection[:, places], axis=1)
        counted = np.cumsum(of_detection * ~is_ignored, axis=1)[:, places]
        precision = true / np.maximum(counted, 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        padded = np.pad(envelope, ((0, 0), (0, 1)))  # recalls that are never reached have precision 0
        result[:, threshold] = np.take_along_axis(padded, _first_reaching(true, needed), axis=1).mean(axis=1)
    result[truths == 0] = np.nan
    return result


def _needed(truths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (R, 101): how many truths must be found for each recall of the grid, by the very division of COCO."""
    grid = recall_grid()
    needed = np.ceil(grid * truths[:, None]).astype(np.int64)
    total = np.maximum(truths, 1)[:, None]
    needed -= (needed > 0) & ((needed - 1) / total >= grid)
    return np.asarray(needed + (needed / total < grid), np.int64)


def _first_reaching(rising: NDArray[np.int64], needed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (R, 101): the first place of each rising row (R, P) that reaches what is needed; P where none does."""
    rows, length = rising.shape
    apart = np.arange(rows)[:, None] * (max(int(rising.max(initial=0)), int(needed.max(initial=0))) + 1)
    flat = np.searchsorted((rising + apart).ravel(), (needed + apart).ravel(), side="left").reshape(needed.shape)
    return np.asarray(np.clip(flat - np.arange(rows)[:, None] * length, 0, length), np.int64)


def _coco(images: Sequence[LabelledImage], class_names: Sequence[str]) -> COCO:
    annotations = [
        {
            "image_id": index,
            "bbox": _xywh(box),
            "area": float(np.prod(box[2:] - box[:2])),
            "category_id": int(class_id) + 1,
            "iscrowd": int(is_ignored),
        }
        for index, image in enumerate(images)
        for box, class_id, is_ignored in zip(image.boxes, image.class_ids, image.is_ignored, strict=True)
    ]
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": index} for index in range(len(images))],
        "annotations": [{"id": number, **row} for number, row in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)],
    }
    truth.createIndex()
    return truth


def _rows(found: Sequence[Detections]) -> NDArray[np.float64]:
    """Return detections as pycocotools loads them: image, x, y, width, height, score, class."""
    rows = [
        [index, *_xywh(box), float(score), int(class_id) + 1]
        for index, one in enumerate(found)
        for box, score, class_id in zip(one.boxes_in_image, one.scores, one.class_ids, strict=True)
    ]
    return np.array(rows, np.float64).reshape(-1, 7)


def _xywh(box: NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = (float(number) for number in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _mean(values: Any) -> float | None:
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if known.size else None
