"""Two models on the same parts: what differs, how surely, and who is better in what.

Both are seen on the same resamples of parts, so that what is hard for both cancels out. AP differs when the bootstrap
interval of the difference leaves 0 out; escapes and false rejects differ when McNemar's exact test says so at 5 %,
which looks only at the parts on which the two disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError
from appliance.learning.evaluation.auroc import resampled_auroc
from appliance.learning.evaluation.bootstrap import RESAMPLES, percentile_interval, resample
from appliance.learning.evaluation.evaluation import Evaluation
from appliance.learning.evaluation.intervals import CONFIDENCE, Interval, mcnemar_p, rounded
from appliance.learning.evaluation.operating_point import top_scores

METHOD = (
    "differences are B minus A; paired percentile bootstrap over parts, the same resamples for both; "
    "escapes and false rejects besides by McNemar's exact test on the parts on which A and B disagree"
)
_TITLES = {
    "map50": "mAP@0.5",
    "map50_95": "mAP@0.5:0.95",
    "image_auroc": "image AUROC",
    "escape_rate": "escapes",
    "false_reject_rate": "false rejects",
}


@dataclass(frozen=True)
class Discordant:
    """The parts on which two models disagree, and one is wrong.

    Attributes:
        only_first, only_second: Names of the parts that only A, only B gets wrong.
        total: Parts that could have been wrong.
    """

    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    total: int

    @property
    def p(self) -> float:
        """How likely so uneven a split is, were both equally good."""
        return mcnemar_p(len(self.only_first), len(self.only_second))


@dataclass(frozen=True)
class Difference:
    """One figure of two models.

    Attributes:
        name: Key of the figure in an evaluation's JSON.
        is_less_better: For rates of errors.
        ci95: Interval of the difference; None without the figure.
        discordant: For rates of errors.
    """

    name: str
    first: float | None
    second: float | None
    is_less_better: bool
    ci95: Interval | None
    discordant: Discordant | None = None

    @property
    def title(self) -> str:
        """The figure's name for people."""
        return _TITLES[self.name]

    @property
    def difference(self) -> float | None:
        """B minus A."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def is_shown(self) -> bool:
        """Whether the set shows that the two differ here."""
        if self.discordant is not None:
            return self.discordant.p < 1 - CONFIDENCE
        return self.ci95 is not None and (self.ci95[0] > 0 or self.ci95[1] < 0)

    @property
    def better(self) -> str | None:
        """Return "A" or "B"; None when no difference is shown."""
        if not self.is_shown or not self.difference:
            return None
        return "B" if (self.difference < 0) == self.is_less_better else "A"

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        told: dict[str, Any] = {
            "a": rounded(self.first),
            "b": rounded(self.second),
            "difference": rounded(self.difference),
            "difference_ci95": [rounded(end) for end in self.ci95] if self.ci95 else None,
            "is_shown": self.is_shown,
            "better": self.better,
        }
        if self.discordant is not None:
            told["only_a"] = len(self.discordant.only_first)
            told["only_b"] = len(self.discordant.only_second)
            told["mcnemar_p"] = rounded(self.discordant.p)
        return told


@dataclass(frozen=True)
class Comparison:
    """Two evaluations on the same parts, and their differences."""

    first: Evaluation
    second: Evaluation
    differences: tuple[Difference, ...]

    @property
    def verdict(self) -> str:
        """Say in one sentence who is better in what."""
        known = [one for one in self.differences if one.difference is not None]
        sentences = [
            f"{letter} ({model['name']}) is better in {', '.join(_told(one) for one in known if one.better == letter)}"
            for letter, model in (("A", self.first.model), ("B", self.second.model))
            if any(one.better == letter for one in known)
        ]
        if alike := [_told(one) for one in known if one.better is None]:
            sentences.append(f"no difference can be shown in {', '.join(alike)}")
        told = "; ".join(sentences)
        return f"{told[:1].upper()}{told[1:]}."

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "a": self.first.figures(),
            "b": self.second.figures(),
            "differences": {one.name: one.figures() for one in self.differences},
            "verdict": self.verdict,
            "method": METHOD,
        }


def compare(first: Evaluation, second: Evaluation, resamples: int = RESAMPLES) -> Comparison:
    """Compare two evaluations.

    Raises:
        DatasetError: They aren't of the same images, or one is of a detector and one of an anomaly model.
    """
    if [image.path for image in first.images] != [image.path for image in second.images]:
        raise DatasetError("comparison: expected two evaluations of the same images, got different ones")
    if first.task != second.task:
        raise DatasetError(f"comparison: expected two models of one task, got {first.task} and {second.task}")
    weights = resample(len(first.parts), resamples)
    rates = (
        _rate("escape_rate", (first, second), first.parts.is_ng, weights),
        _rate("false_reject_rate", (first, second), first.parts.is_ok, weights),
    )
    return Comparison(first, second, (*_ranking(first, second, weights), *rates))


def _ranking(first: Evaluation, second: Evaluation, weights: NDArray[np.int64]) -> Sequence[Difference]:
    """Compare what doesn't depend on the operating point."""
    if first.precision is None or second.precision is None:
        values = [
            resampled_auroc(one.parts.highest(top_scores(one.found)), one.parts.is_ng, one.parts.is_ok, weights)
            for one in (first, second)
        ]
        return [Difference("image_auroc", first.auroc, second.auroc, False, _interval(values[1] - values[0]))]
    of_images = weights[:, first.parts.of_image]
    apart = second.precision.resampled(of_images) - first.precision.resampled(of_images)
    return [
        Difference("map50", first.map50, second.map50, False, _interval(apart[:, 0])),
        Difference("map50_95", first.map50_95, second.map50_95, False, _interval(apart[:, 1])),
    ]


def _rate(
    name: str, both: tuple[Evaluation, Evaluation], concerned: NDArray[np.bool_], weights: NDArray[np.int64]
) -> Difference:
    """Compare a rate of errors among the parts that it concerns."""
    calls = [one.parts.any(np.array([each.is_ng for each in one.judged], np.bool_)) for one in both]
    wrong = [(called != both[0].parts.is_ng) & concerned for called in calls]
    drawn = weights[:, concerned].sum(axis=1)
    apart = weights @ (wrong[1].astype(np.int64) - wrong[0].astype(np.int64))
    values = np.divide(apart, drawn, out=np.full(len(weights), np.nan), where=drawn > 0)
    total = int(concerned.sum())
    names = np.array(both[0].parts.names)
    return Difference(
        name,
        first=float(wrong[0].sum() / total) if total else None,
        second=float(wrong[1].sum() / total) if total else None,
        is_less_better=True,
        ci95=_interval(values),
        discordant=Discordant(
            tuple(names[wrong[0] & ~wrong[1]].tolist()), tuple(names[wrong[1] & ~wrong[0]].tolist()), total
        ),
    )


def _interval(values: NDArray[np.float64]) -> Interval | None:
    return None if np.isnan(values).all() else percentile_interval(values)


def _told(one: Difference) -> str:
    assert one.difference is not None
    if one.discordant is not None:
        assert one.first is not None
        assert one.second is not None
        total = one.discordant.total
        return f"{one.title} ({round(one.first * total)} against {round(one.second * total)} of {total})"
    low, high = one.ci95 or (np.nan, np.nan)
    return f"{one.title} ({one.difference:+.4f}, 95 % {low:+.4f} to {high:+.4f})"
