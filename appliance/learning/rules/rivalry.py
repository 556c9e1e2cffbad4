"""A model against rules on the same parts, by one evaluation: who finds more, who rejects less, at what price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset, LabelledImage
from appliance.learning.evaluation.compare import Comparison, compare
from appliance.learning.evaluation.detecting import BATCH, LOWEST_SCORE, detect_all
from appliance.learning.evaluation.detection_rates import detection_rates
from appliance.learning.evaluation.evaluation import Evaluation, assess
from appliance.learning.evaluation.operating_point import AtScore
from appliance.learning.evaluation.threshold import WhatIf
from appliance.learning.rules.method import Rules, grey
from appliance.learning.rules.parameter import declared, flat
from appliance.learning.rules.timing import Timing, measure_time
from appliance.learning.rules.tuning import Budget, Tuning, tune
from appliance.modelling import Detections, ModelBundle
from appliance.modelling.detector import Detector

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rival:
    """One set of rules held against the model.

    Attributes:
        rules: With the parameters that judged.
        tuning: None where the parameters came from a file.
        comparison: First the model, then the rules, on the images that the rules can judge.
        left_out: Images of the set that they can't judge: the model isn't asked about them either.
        notes: What a reader must know.
    """

    rules: Rules
    tuning: Tuning | None
    comparison: Comparison
    timing: Timing
    left_out: int
    notes: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        parameters = self.rules.parameters
        values = flat(parameters)
        return {
            "method": self.rules.method.name,
            "title": self.rules.method.title,
            "knows": self.rules.method.knows,
            "parameter_count": len(values),
            "parameters": [
                {"name": one.name, "value": values[one.name], "unit": one.unit, "low": one.low, "high": one.high}
                for one in declared(parameters)
            ],
            "tuning": None if self.tuning is None else self.tuning.figures(),
            "comparison": self.comparison.figures(),
            "detections": {
                letter: {
                    **detection_rates(one).figures(),
                    "per_class": {name: detection_rates(one, name).figures() for name in one.kinds},
                }
                for letter, one in (("a", self.comparison.first), ("b", self.comparison.second))
            },
            "time": self.timing.figures(),
            "left_out_images": self.left_out,
            "notes": list(self.notes),
        }


class Contest:
    """The model's side: run once, held against any number of rules.

    Args:
        bundle: A detector. dataset: What is measured on, with the model's classes.
        score: Of the model; None for the bundle's.
        resamples: Of the bootstrap.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        dataset: Dataset,
        *,
        score: float | None = None,
        resamples: int = 1000,
        progress: Progress | None = None,
    ) -> None:
        if bundle.task != "detect":
            raise DatasetError(
                f"model {bundle.name}: expected a detector, got an {bundle.task} model: rules name classes"
            )
        self.bundle, self.dataset, self.resamples = bundle, dataset, resamples
        self.score = bundle.thresholds.score if score is None else score
        detector = Detector(bundle, max_batch=BATCH)
        self._found, self._sizes = detect_all(detector, dataset.images, LOWEST_SCORE, progress)

    def against(
        self,
        rules: Rules,
        development: Sequence[LabelledImage] | None,
        budget: Budget,
        notes: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Rival:
        """Tune rules, measure them, compare.

        Args:
            development: Images to tune on; None: the parameters stay as they are.
            notes: What a reader must know, such as where the reference is from.
        Raises:
            DatasetError: The rules can't judge the images, or there is nothing to tune on.
        """
        able = [place for place, image in enumerate(self.dataset.images) if rules.method.can_judge(image)]
        if not able:
            raise DatasetError(f"data set {self.dataset.folder}: {rules.method.title}: no image that they can judge")
        tuning = None
        if development is not None:
            tuning = _tuned(rules, development, budget, progress)
            rules = Rules(rules.method, tuning.best.parameters, rules.class_names, rules.renamed)
        images = [self.dataset.images[place] for place in able]
        found = [rules.detect(grey(image.path), image) for image in images]
        sizes = [self._sizes[place] for place in able]
        model = self._assess(images, [self._found[place] for place in able], sizes, self._model(), self.score)
        by_rules = self._assess(images, found, sizes, _named(rules), rules.parameters.score)
        return Rival(
            rules=rules,
            tuning=tuning,
            comparison=compare(model, by_rules, self.resamples),
            timing=measure_time(self.bundle, rules, images),
            left_out=len(self.dataset.images) - len(able),
            notes=tuple(notes),
        )

    def _assess(
        self,
        images: Sequence[LabelledImage],
        found: Sequence[Detections],
        sizes: Sequence[tuple[int, int]],
        named: dict[str, Any],
        score: float,
    ) -> Evaluation:
        return assess(
            images,
            found,
            self.bundle.class_names,
            AtScore(score),
            sizes=sizes,
            resamples=self.resamples,
            model=named,
            dataset={
                "path": str(self.dataset.folder),
                "format": self.dataset.file_format,
                "split": self.dataset.split,
                "notes": list(self.dataset.notes),
            },
        )

    def _model(self) -> dict[str, Any]:
        training = self.bundle.training
        return {
            "name": self.bundle.name,
            "sha256": self.bundle.sha256,
            "contract_sha256": self.bundle.contract_sha256,
            "training_minutes": training.minutes if training else None,
            "training_data": training.data if training else None,
        }


def model_score_on(bundle: ModelBundle, development: Dataset, progress: Progress | None = None) -> float:
    """Choose the model's score on the development split, as the rules' is."""
    found, _ = detect_all(Detector(bundle, max_batch=BATCH), development.images, LOWEST_SCORE, progress)
    outcome = WhatIf.of(development.images, found).choose()
    assert outcome is not None  # without limits there is always a choice
    return outcome.score


def _tuned(rules: Rules, development: Sequence[LabelledImage], budget: Budget, progress: Progress | None) -> Tuning:
    images = [image for image in development if rules.method.can_judge(image)]
    kinds = (sum(image.is_ng for image in images), sum(image.is_ok for image in images))
    if not all(kinds):
        raise DatasetError(
            f"{rules.method.title}: expected NG and OK parts to tune on, got {kinds[0]} NG and {kinds[1]} OK; "
            "give another --tune-split or --tune-data"
        )
    return tune(rules, images, budget, progress)


def _named(rules: Rules) -> dict[str, Any]:
    return {"name": f"rules ({rules.method.name})", "rules": rules.method.name, "parameters": flat(rules.parameters)}
