"""What if the score were another: escapes, false rejects and missed defects at every score, and a choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage
from appliance.learning.evaluation.intervals import Rate, rate_figures
from appliance.learning.evaluation.matching import FOUND_IOU, pairwise_iou
from appliance.learning.evaluation.operating_point import top_scores
from appliance.learning.evaluation.parts import Parts
from appliance.modelling import Detections

SCORES = tuple(round(0.05 + 0.01 * step, 2) for step in range(91))
"""0.05, 0.06 … 0.95: among them the choice is made."""


@dataclass(frozen=True)
class Outcome:
    """What a score leads to."""

    score: float
    escapes: Rate
    false_rejects: Rate
    missed_defects: Rate

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "score": self.score,
            **rate_figures("escapes", "ng_parts", "escape_rate", self.escapes),
            **rate_figures("false_rejects", "ok_parts", "false_reject_rate", self.false_rejects),
            **rate_figures("missed_defects", "defects", "missed_defect_rate", self.missed_defects),
        }


@dataclass(frozen=True)
class Limits:
    """Rates that a score must keep; None for no limit."""

    escape_rate: float | None = None
    false_reject_rate: float | None = None

    def allow(self, outcome: Outcome) -> bool:
        """Whether an outcome's rates, as counted, keep both limits."""
        pairs = ((outcome.escapes, self.escape_rate), (outcome.false_rejects, self.false_reject_rate))
        return all(limit is None or (rate.value is not None and rate.value <= limit) for rate, limit in pairs)

    def cost(self, outcome: Outcome) -> tuple[float, float]:
        """Say what to minimise: the rate without a limit first; with none or both, their sum."""
        escape_rate, false_reject_rate = outcome.escapes.value or 0.0, outcome.false_rejects.value or 0.0
        if (self.escape_rate is None) == (self.false_reject_rate is None):
            return round(escape_rate + false_reject_rate, 9), 0.0
        if self.false_reject_rate is None:
            return false_reject_rate, escape_rate
        return escape_rate, false_reject_rate


@dataclass(frozen=True)
class WhatIf:
    """The scores at which each part and each defect changes sides.

    Attributes:
        ng_scores, ok_scores: Highest score of each NG part and each OK part, sorted.
        defect_scores: Highest score of the detections on each labelled defect, sorted; 0 where there is none.
    """

    ng_scores: NDArray[np.float64]
    ok_scores: NDArray[np.float64]
    defect_scores: NDArray[np.float64]

    @classmethod
    def of(cls, images: Sequence[LabelledImage], found: Sequence[Detections], class_id: int | None = None) -> WhatIf:
        """Gather the scores; with a class, NG parts are those that have it and its detections alone count."""
        parts = Parts.of(images)
        scores = parts.highest(top_scores(found, class_id))
        is_ng = parts.is_ng
        if class_id is not None:
            is_ng = parts.any(np.array([class_id in image.class_ids[~image.is_ignored] for image in images], np.bool_))
        of_defects = [_defect_scores(image, one, class_id) for image, one in zip(images, found, strict=True)]
        return cls(np.sort(scores[is_ng]), np.sort(scores[parts.is_ok]), np.sort(np.concatenate(of_defects)))

    def at(self, score: float) -> Outcome:
        """Return what this score leads to."""
        passed = int(np.searchsorted(self.ng_scores, score, side="left"))
        rejected = len(self.ok_scores) - int(np.searchsorted(self.ok_scores, score, side="left"))
        missed = int(np.searchsorted(self.defect_scores, score, side="left"))
        return Outcome(
            score,
            escapes=Rate(passed, len(self.ng_scores)),
            false_rejects=Rate(rejected, len(self.ok_scores)),
            missed_defects=Rate(missed, len(self.defect_scores)),
        )

    def choose(self, limits: Limits | None = None) -> Outcome | None:
        """Choose a score that keeps the limits; where several are equally good, the middle one.

        A part of a test set may carry several defects and is NG when one is found: a lot with one defect a part
        needs a lower score, and `missed_defects` says how much is at stake.

        Returns:
            None when no score keeps the limits.
        """
        kept = limits or Limits()
        outcomes = [outcome for outcome in map(self.at, SCORES) if kept.allow(outcome)]
        if not outcomes:
            return None
        least = min(map(kept.cost, outcomes))
        best = [outcome for outcome in outcomes if kept.cost(outcome) == least]
        return best[len(best) // 2]


def _defect_scores(image: LabelledImage, found: Detections, class_id: int | None) -> NDArray[np.float64]:
    truth, boxes, scores = ~image.is_ignored, found.boxes_in_image, found.scores
    if class_id is not None:
        truth = truth & (image.class_ids == class_id)
        of_class = found.class_ids == class_id
        boxes, scores = boxes[of_class], scores[of_class]
    lies_on = pairwise_iou(image.boxes[truth], boxes) >= FOUND_IOU
    return np.asarray(np.where(lies_on, scores[None], 0.0).max(axis=1, initial=0.0), np.float64)
