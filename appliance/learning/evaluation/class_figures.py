"""The same figures for each class: which defects are found, which escape, which cry wolf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage
from appliance.learning.evaluation.intervals import Rate, rate_figures, rounded
from appliance.learning.evaluation.matching import are_found
from appliance.learning.evaluation.operating_point import Judged
from appliance.learning.evaluation.parts import Parts
from appliance.learning.evaluation.precision import Precision


@dataclass(frozen=True)
class ClassFigures:
    """One class.

    Attributes:
        ap50, ap50_95: Average precision; None where the set has no box of the class.
        escapes: Of the parts with such a defect, those passed as OK.
        false_rejects: Of the OK parts, those on which such a defect was called.
        missed_defects: Of the labelled defects, those that no counted detection overlaps.
    """

    ap50: float | None
    ap50_95: float | None
    escapes: Rate
    false_rejects: Rate
    missed_defects: Rate

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "ap50": rounded(self.ap50),
            "ap50_95": rounded(self.ap50_95),
            **rate_figures("escapes", "ng_parts", "escape_rate", self.escapes),
            **rate_figures("false_rejects", "ok_parts", "false_reject_rate", self.false_rejects),
            **rate_figures("missed_defects", "defects", "missed_defect_rate", self.missed_defects),
        }


def per_class(
    kinds: Sequence[str],
    images: Sequence[LabelledImage],
    judged: Sequence[Judged],
    parts: Parts,
    precision: Precision | None,
) -> dict[str, ClassFigures]:
    """Return the figures of each kind of defect.

    Args:
        kinds: In the order of the truth's class ids; a detector's classes are the same.
        precision: None for an anomaly model: it calls parts NG without naming a kind, so no false reject has one.
    """
    called_ng = parts.any(np.array([one.is_ng for one in judged], np.bool_))
    are_missed = missed(images, judged, "detect" if precision else "anomaly")
    is_clean = parts.is_ok & (precision is not None)
    result = {}
    for class_id, name in enumerate(kinds):
        of_class = [(image.class_ids == class_id)[~image.is_ignored] for image in images]
        has_it = parts.any(
            np.array([mask.any() or image.kind == name for mask, image in zip(of_class, images, strict=True)], np.bool_)
        )
        called_it = parts.any(np.array([(one.defects.class_ids == class_id).any() for one in judged], np.bool_))
        result[name] = ClassFigures(
            ap50=precision.ap50(class_id) if precision else None,
            ap50_95=precision.ap50_95(class_id) if precision else None,
            escapes=Rate(int((has_it & ~called_ng).sum()), int(has_it.sum())),
            false_rejects=Rate(int((is_clean & called_it).sum()), int(is_clean.sum())),
            missed_defects=missed_rate([each[mask] for each, mask in zip(are_missed, of_class, strict=True)]),
        )
    return result


def missed(images: Sequence[LabelledImage], judged: Sequence[Judged], task: str) -> list[NDArray[np.bool_]]:
    """Return for each image (G,) bool: which of the defects that count have no counted detection on them."""
    return [
        ~are_found(image.boxes[~image.is_ignored], one.defects.boxes_in_image, task)
        for image, one in zip(images, judged, strict=True)
    ]


def missed_rate(are_missed: Sequence[NDArray[np.bool_]]) -> Rate:
    """Sum up what `missed` returns."""
    return Rate(sum(int(each.sum()) for each in are_missed), sum(map(len, are_missed)))
