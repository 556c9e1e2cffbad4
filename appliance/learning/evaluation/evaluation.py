"""The evaluation itself: detections and truth in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.config import Recipe
from appliance.learning.datasets import Dataset, LabelledImage
from appliance.learning.evaluation.auroc import auroc, resampled_auroc
from appliance.learning.evaluation.bootstrap import RESAMPLES, percentile_interval, resample
from appliance.learning.evaluation.class_figures import ClassFigures, missed, missed_rate, per_class
from appliance.learning.evaluation.detecting import BATCH, LOWEST_SCORE, Progress, detect_all
from appliance.learning.evaluation.intervals import Interval, Rate, rate_figures, rounded
from appliance.learning.evaluation.operating_point import AtScore, ByRecipe, Judged, OperatingPoint, top_scores
from appliance.learning.evaluation.parts import Parts
from appliance.learning.evaluation.precision import Precision, average_precision
from appliance.modelling import Detections, ModelBundle
from appliance.modelling.detector import Detector

METHOD = (
    "AP by pycocotools (101 recalls, 100 detections an image); rates with exact Clopper-Pearson intervals; "
    "AP and AUROC with percentile bootstrap over parts"
)


@dataclass(frozen=True)
class Evaluation:
    """A model's figures on a set, and what they were made of.

    Attributes:
        task: "detect" or "anomaly".
        class_names: The model's. kinds: The truth's; a detector's are the same.
        precision: None for anomaly models.
        auroc: Of the parts' scores, OK against NG; None for detectors, and where one kind is missing.
        found, judged: One item for each image of the set, at all scores and at the operating point.
        intervals: 95 % bootstrap intervals of "map50", "map50_95" and "image_auroc", where they were asked for.
        model: Names the model as records do.
    """

    task: str
    class_names: tuple[str, ...]
    kinds: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    found: tuple[Detections, ...]
    judged: tuple[Judged, ...]
    parts: Parts
    point: OperatingPoint
    precision: Precision | None
    auroc: float | None
    escapes: Rate
    false_rejects: Rate
    missed_defects: Rate
    per_class: dict[str, ClassFigures]
    intervals: dict[str, Interval] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)

    @property
    def map50(self) -> float | None:
        """Mean average precision at IoU 0.5."""
        return self.precision.map50 if self.precision else None

    @property
    def map50_95(self) -> float | None:
        """Mean average precision over IoU 0.50 to 0.95."""
        return self.precision.map50_95 if self.precision else None

    def figures(self) -> dict[str, Any]:
        """Return the JSON form; an impossible figure (a rate of no parts) is None."""
        of_task = {"map50": self.map50, "map50_95": self.map50_95}
        if self.task == "anomaly":
            of_task["image_auroc"] = self.auroc
        precise: dict[str, Any] = {}
        for name, value in of_task.items():
            interval = self.intervals.get(name)
            precise[name] = rounded(value)
            precise[f"{name}_ci95"] = [rounded(end) for end in interval] if interval else None
        return {
            "model": self.model,
            "dataset": self.dataset,
            **self.point.figures(),
            **precise,
            **rate_figures("escapes", "ng_parts", "escape_rate", self.escapes),
            **rate_figures("false_rejects", "ok_parts", "false_reject_rate", self.false_rejects),
            **rate_figures("missed_defects", "defects", "missed_defect_rate", self.missed_defects),
            "per_class": {name: figures.figures() for name, figures in self.per_class.items()},
            "method": METHOD,
        }


def evaluate(
    model: ModelBundle | Detector,
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    score: float | None = None,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on a set.

    Args:
        model: A bundle is run on the CPU, with the recipe's tiling.
        dataset: Its classes are matched to the model's by name.
        recipe: Its rules decide on parts; without one, `score` does.
        score: Default: the bundle's threshold.
        resamples: Of the bootstrap; 0 for none.
        progress: Called as images are done.
    Raises:
        DatasetError: A file is broken, or a class is unknown to the model.
        ConfigError, ModelContractMismatch: The recipe doesn't fit the model.
        ModelError: The model failed.
    """
    tiling = recipe.tiling if recipe is not None else None
    detector = model if isinstance(model, Detector) else Detector(model, max_batch=BATCH, tiling=tiling)
    bundle = detector.bundle
    is_anomaly = bundle.task == "anomaly"
    known = dataset if is_anomaly else dataset.for_classes(bundle.class_names)
    point: OperatingPoint
    if recipe is not None:
        point = ByRecipe.of(recipe, bundle)
    else:
        point = AtScore(bundle.thresholds.score if score is None else score)
    lowest = point.lowest_score if is_anomaly else LOWEST_SCORE
    found, sizes = detect_all(detector, known.images, lowest, progress)
    return assess(
        known.images,
        found,
        bundle.class_names,
        point,
        sizes=sizes,
        kinds=known.class_names,
        task=bundle.task,
        resamples=resamples,
        model=_reference(bundle),
        dataset=_described(dataset),
    )


def assess(
    images: Sequence[LabelledImage],
    found: Sequence[Detections],
    class_names: Sequence[str],
    point: OperatingPoint,
    *,
    sizes: Sequence[tuple[int, int]],
    kinds: Sequence[str] | None = None,
    task: str = "detect",
    resamples: int = RESAMPLES,
    model: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
) -> Evaluation:
    """Hold detections against the truth.

    Args:
        images: The truth; class ids are the model's.
        found: One item for each image, down to a very low score.
        sizes: Width and height of each image in px.
        kinds: Names of the truth's class ids, where they differ from the model's.
    """
    parts = Parts.of(images)
    judged = tuple(point.judged(one, size) for one, size in zip(found, sizes, strict=True))
    called_ng = parts.any(np.array([one.is_ng for one in judged], np.bool_))
    precision = average_precision(images, found, class_names) if task == "detect" else None
    part_scores = parts.highest(top_scores(found))
    is_known = parts.is_ok | parts.is_ng
    area = auroc(part_scores[is_known], parts.is_ng[is_known]) if task == "anomaly" else None
    return Evaluation(
        task=task,
        class_names=tuple(class_names),
        kinds=tuple(kinds or class_names),
        images=tuple(images),
        found=tuple(found),
        judged=judged,
        parts=parts,
        point=point,
        precision=precision,
        auroc=area,
        escapes=Rate(int((parts.is_ng & ~called_ng).sum()), int(parts.is_ng.sum())),
        false_rejects=Rate(int((parts.is_ok & called_ng).sum()), int(parts.is_ok.sum())),
        missed_defects=missed_rate(missed(images, judged, task)),
        per_class=per_class(kinds or class_names, images, judged, parts, precision),
        intervals=_intervals(precision, part_scores, parts, area, resamples),
        model=model or {},
        dataset={**(dataset or {}), **parts.counts(len(images))},
    )


def _intervals(
    precision: Precision | None, part_scores: NDArray[np.float64], parts: Parts, area: float | None, resamples: int
) -> dict[str, Interval]:
    if not resamples:
        return {}
    weights = resample(len(parts), resamples)
    if precision is None:
        if area is None:
            return {}
        return {"image_auroc": percentile_interval(resampled_auroc(part_scores, parts.is_ng, parts.is_ok, weights))}
    if precision.map50 is None:
        return {}
    values = precision.resampled(weights[:, parts.of_image])
    return {name: percentile_interval(values[:, place]) for place, name in enumerate(("map50", "map50_95"))}


def _reference(bundle: ModelBundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "contract_sha256": bundle.contract_sha256,
        "sha256": bundle.sha256,
        "task": bundle.task,
        "family": bundle.family,
    }


def _described(dataset: Dataset) -> dict[str, Any]:
    return {
        "path": str(dataset.folder),
        "format": dataset.file_format,
        "split": dataset.split,
        "notes": list(dataset.notes),
    }
