"""What makes a part NG: one score for all classes, or a recipe's rules through the line's own judge."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.config import Recipe
from appliance.inspection.judge import check_recipe, judge, lowest_score
from appliance.messages import VerdictWord
from appliance.modelling import Detections, ModelBundle


@dataclass(frozen=True)
class Judged:
    """The verdict on one image.

    Attributes:
        is_ng: Whether its part is rejected; a verdict of UNKNOWN rejects too.
        defects: The detections that make it NG.
        others: The detections that don't.
    """

    is_ng: bool
    defects: Detections
    others: Detections

    @classmethod
    def of(cls, found: Detections, is_defect: NDArray[np.bool_], *, is_ng: bool) -> Judged:
        """Part the detections by (K,) bool."""
        return cls(is_ng, _chosen(found, is_defect), _chosen(found, ~is_defect))


class OperatingPoint(Protocol):
    """Called once for each image, with all of its detections down to a very low score."""

    def judged(self, found: Detections, size_px: tuple[int, int]) -> Judged:
        """Give the verdict on an image of this width and height."""
        ...

    @property
    def lowest_score(self) -> float:
        """Detections below it change nothing."""
        ...

    def figures(self) -> dict[str, Any]:
        """Name the point: `score` and `recipe`, one of them None."""
        ...


@dataclass(frozen=True)
class AtScore:
    """NG when any detection reaches the score; of an anomaly model, when the image's score does."""

    score: float

    def judged(self, found: Detections, size_px: tuple[int, int]) -> Judged:  # noqa: ARG002 (a recipe needs it)
        """See `OperatingPoint`."""
        is_defect = found.scores >= self.score
        if found.image_score is None:
            return Judged.of(found, is_defect, is_ng=bool(is_defect.any()))
        return Judged.of(found, is_defect, is_ng=not found.image_score < self.score)  # NaN is no evidence of OK

    @property
    def lowest_score(self) -> float:
        """See `OperatingPoint`."""
        return self.score

    def figures(self) -> dict[str, Any]:
        """See `OperatingPoint`."""
        return {"score": self.score, "recipe": None}


@dataclass(frozen=True)
class ByRecipe:
    """NG when the recipe's rules say so; the whole image is the one view."""

    recipe: Recipe
    class_names: tuple[str, ...]
    reference: dict[str, Any]

    @classmethod
    def of(cls, recipe: Recipe, bundle: ModelBundle) -> ByRecipe:
        """Hold a recipe against a model's classes.

        Raises:
            ConfigError, ModelContractMismatch: As `check_recipe`.
        """
        check_recipe(recipe, bundle)
        return cls(recipe, bundle.class_names, {"name": recipe.name, "version": recipe.version})

    def judged(self, found: Detections, size_px: tuple[int, int]) -> Judged:
        """See `OperatingPoint`."""
        kept = found.scores >= self.lowest_score
        told = judge(_chosen(found, kept), self.class_names, self.recipe, (0, 0, *size_px))
        defects = {(defect.class_name, defect.score, defect.box_px) for defect in told.defects}
        is_defect = np.array([name in defects for name in self._names(found)], np.bool_)
        return Judged.of(found, is_defect, is_ng=told.verdict is not VerdictWord.OK)

    @property
    def lowest_score(self) -> float:
        """See `OperatingPoint`."""
        return lowest_score(self.recipe)

    def _names(self, found: Detections) -> Iterator[tuple[str, float, tuple[float, ...]]]:
        """Name detections as the judge does: rounded, which still tells them apart."""
        boxes, scores, class_ids = found.boxes_in_image.tolist(), found.scores.tolist(), found.class_ids.tolist()
        for box, score, class_id in zip(boxes, scores, class_ids, strict=True):
            yield self.class_names[class_id], round(score, 4), tuple(round(side, 2) for side in box)

    def figures(self) -> dict[str, Any]:
        """See `OperatingPoint`."""
        return {"score": None, "recipe": self.reference}


def _chosen(found: Detections, kept: NDArray[np.bool_]) -> Detections:
    return Detections(found.boxes_in_image[kept], found.scores[kept], found.class_ids[kept], found.image_score)


def top_scores(found: Sequence[Detections], class_id: int | None = None) -> NDArray[np.float64]:
    """Return (N,) float64: each image's score, the one by which it is called NG; 0 where nothing was found."""
    best = []
    for one in found:
        scores = one.scores if class_id is None else one.scores[one.class_ids == class_id]
        if class_id is None and one.image_score is not None:
            best.append(one.image_score if math.isfinite(one.image_score) else 1.0)
        else:
            best.append(float(scores.max()) if len(scores) else 0.0)
    return np.array(best, np.float64)
