"""What if the score were another: escapes, false rejects and missed defects at every score, and a choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import Dataset, LabelledImage
from appliance.learning.evaluation.detecting import BATCH, LOWEST_SCORE, Progress, detect_all
from appliance.learning.evaluation.intervals import Rate, rate_figures
from appliance.learning.evaluation.matching import FOUND_IOU, pairwise_iou
from appliance.learning.evaluation.operating_point import top_scores
from appliance.learning.evaluation.parts import Parts
from appliance.modelling import Detections, ModelBundle
from appliance.modelling.detector import Detector

SHOWN_EVERY = 5
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
        defect_scores: Highest score of the detections on each labelled defect, sorted; 0 where there is none. Empty for
            an anomaly model: its regions are others at each score.
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
        if any(one.image_score is not None for one in found):
            return cls(np.sort(scores[is_ng]), np.sort(scores[parts.is_ok]), np.zeros(0))
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


def advise(
    bundle: ModelBundle,
    dataset: Dataset,
    limits: Limits,
    *,
    class_name: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a model over a set and lay out its scores, in JSON form.

    Args:
        dataset: With the model's classes.
        class_name: The score of this class's rule alone; None for one score for all.
    Raises:
        DatasetError, ModelError: As `detect_all`.
    """
    found, _ = detect_all(Detector(bundle, max_batch=BATCH), dataset.images, LOWEST_SCORE, progress)
    what_if = WhatIf.of(dataset.images, found, bundle.class_names.index(class_name) if class_name else None)
    is_judgeable = len(what_if.ng_scores) > 0 and len(what_if.ok_scores) > 0
    chosen = what_if.choose(limits) if is_judgeable else None
    shown = {*SCORES[::SHOWN_EVERY], round(bundle.thresholds.score, 4), *([chosen.score] if chosen else [])}
    return {
        "model": {"name": bundle.name, "contract_sha256": bundle.contract_sha256},
        "dataset": {"path": str(dataset.folder), "format": dataset.file_format, "split": dataset.split},
        "class": class_name,
        "score": round(bundle.thresholds.score, 4),
        "limits": {"max_escape_rate": limits.escape_rate, "max_false_reject_rate": limits.false_reject_rate},
        "outcomes": [what_if.at(score).figures() for score in sorted(shown)],
        "recommended": chosen.figures() if chosen else None,
        "reason": None if chosen else _reason(what_if),
        "warnings": _warnings(dataset, chosen, limits),
    }


def _reason(what_if: WhatIf) -> str:
    for kind, scores in (("NG", what_if.ng_scores), ("OK", what_if.ok_scores)):
        if not len(scores):
            return f"no score can be recommended: the set has no {kind} parts; add some"
    return "no score keeps the limits; relax one of them, or train a better model"


def _warnings(dataset: Dataset, chosen: Outcome | None, limits: Limits) -> list[str]:
    warnings = []
    if dataset.split == "test":
        warnings.append(
            "a score chosen on the test split makes what is measured there look better than it is; "
            "choose on a validation split (--split val), measure on the test split once"
        )
    if chosen is not None:
        for rate, limit, name in (
            (chosen.escapes, limits.escape_rate, "escape rate"),
            (chosen.false_rejects, limits.false_reject_rate, "false-reject rate"),
        ):
            if limit is not None and rate.ci95 is not None and rate.ci95[1] > limit:
                warnings.append(
                    f"the {name} counted keeps {limit:.2%}, but with {rate.total} parts it may be up to "
                    f"{rate.ci95[1]:.2%}; more parts would tell"
                )
    return warnings


def _defect_scores(image: LabelledImage, found: Detections, class_id: int | None) -> NDArray[np.float64]:
    truth, boxes, scores = ~image.is_ignored, found.boxes_in_image, found.scores
    if class_id is not None:
        truth = truth & (image.class_ids == class_id)
        of_class = found.class_ids == class_id
        boxes, scores = boxes[of_class], scores[of_class]
    lies_on = pairwise_iou(image.boxes[truth], boxes) >= FOUND_IOU["detect"]
    return np.asarray(np.where(lies_on, scores[None], 0.0).max(axis=1, initial=0.0), np.float64)
