"""Precision and recall at the operating point: how much of what was called is true, and of what is there was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.learning.evaluation.evaluation import Evaluation
from appliance.learning.evaluation.intervals import Rate, rate_figures
from appliance.learning.evaluation.matching import FOUND_IOU, pairwise_iou


@dataclass(frozen=True)
class DetectionRates:
    """Counted detections and labelled defects of all classes, or of one.

    Attributes:
        precision: Of the detections that count, those on a labelled defect: of all classes whatever its class, of one
            class of that class. Detections on ignored boxes don't count.
        recall: Of the labelled defects, those that some counted detection, of any class, lies on.
    """

    precision: Rate
    recall: Rate

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **rate_figures("true_detections", "detections", "precision", self.precision),
            **rate_figures("found_defects", "defects", "recall", self.recall),
        }


def detection_rates(evaluation: Evaluation, class_name: str | None = None) -> DetectionRates:
    """Count at the evaluation's operating point, at its IoU.

    Their intervals take detections for independent of each other; those of one part aren't quite.
    """
    class_id = None if class_name is None else evaluation.kinds.index(class_name)
    least = FOUND_IOU[evaluation.task]
    counted = true = 0
    for image, judged in zip(evaluation.images, evaluation.judged, strict=True):
        boxes, truth = judged.defects.boxes_in_image, ~image.is_ignored
        if class_id is not None:
            boxes, truth = boxes[judged.defects.class_ids == class_id], truth & (image.class_ids == class_id)
        is_true = _lies_on(image.boxes[truth], boxes, least)
        is_ignored = _lies_on(image.boxes[image.is_ignored], boxes, least) & ~is_true
        counted += int((~is_ignored).sum())
        true += int(is_true.sum())
    missed = evaluation.missed_defects if class_name is None else evaluation.per_class[class_name].missed_defects
    return DetectionRates(Rate(true, counted), Rate(missed.total - missed.count, missed.total))


def _lies_on(truth: NDArray[np.float32], boxes: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    """Return (K,) bool: which boxes lie on some labelled one."""
    return np.asarray((pairwise_iou(truth, boxes) >= least).any(axis=0), np.bool_)
