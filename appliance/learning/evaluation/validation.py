"""The labelled images by which INT8 is measured: a split that decides, and perhaps one that is only reported on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset
from appliance.learning.datasets.deeppcb import board_groups
from appliance.learning.evaluation.evaluation import Evaluation, evaluate
from appliance.learning.evaluation.metrics import metrics_table
from appliance.modelling import ModelBundle
from appliance.modelling.quantise import Figures

Reported = tuple[str, Figures, Figures]
"""A split that didn't decide, with the float model's figures and the INT8 model's."""


class Validation:
    """A split that decides, and perhaps one that is only reported on."""

    def __init__(self, read: Callable[[str | None], Dataset], split: str | None, report_split: str | None) -> None:
        """Read the labels.

        Args:
            read: Reads a split of the set, its classes numbered as the model does.
        Raises:
            DatasetError: They are broken, or of classes that the model doesn't know.
        """
        self._deciding = read(split)
        self._other = read(report_split) if report_split is not None else None
        self._evaluations: dict[str, Evaluation] = {}
        self._reported: Evaluation | None = None

    @property
    def described(self) -> dict[str, Any]:
        """What the new bundle says of the images that decided."""
        split = self._deciding.split or "all"
        return {"name": self._deciding.folder.name, "split": split, "images": len(self._deciding.images)}

    def measure(self, bundle: ModelBundle) -> Figures:
        """Measure a bundle on the split that decides."""
        evaluation = self._evaluations[bundle.sha256] = evaluate(bundle, self._deciding, resamples=0)
        return _figures(evaluation)

    def report(self, before: ModelBundle, after: ModelBundle) -> Reported | None:
        """Measure both on the other split, if there is one."""
        if self._other is None:
            return None
        self._reported = evaluate(after, self._other, resamples=0)
        of_before = evaluate(before, self._other, resamples=0)
        return str(self._other.split), _figures(of_before), _figures(self._reported)

    def metrics(self, after: ModelBundle) -> dict[str, Any]:
        """Return the `[metrics]` tables of a bundle that was measured, and reported on if there is another split."""
        deciding = metrics_table(self._evaluations[after.sha256], board_groups(self._deciding))
        tables = {self._deciding.split or "validation": deciding}
        if self._other is not None and self._reported is not None:
            tables[str(self._other.split)] = metrics_table(self._reported, board_groups(self._other))
        return tables


def _figures(evaluation: Evaluation) -> Figures:
    if evaluation.map50 is None or evaluation.map50_95 is None:
        raise DatasetError("validation images: expected some with labelled defects, got none: nothing can be measured")
    return Figures(
        evaluation.map50,
        evaluation.map50_95,
        evaluation.escapes.count,
        evaluation.escapes.total,
        evaluation.false_rejects.count,
        evaluation.false_rejects.total,
        evaluation.missed_defects.count,
        evaluation.missed_defects.total,
    )
