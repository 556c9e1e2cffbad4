"""Setting the parameters as a diligent engineer would, by a stated budget and on the development split alone.

A quarter of the trials are drawn evenly within the declared limits; the others change one to three parameters of the
best so far. The objective is the one by which a model's score is chosen: escape rate plus false-reject rate at the best
score (`WhatIf.choose`); where two are equally good, the higher mAP@0.5 wins. Same seed and trials, same parameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.learning.datasets import LabelledImage
from appliance.learning.evaluation.precision import average_precision
from appliance.learning.evaluation.threshold import Outcome, WhatIf
from appliance.learning.rules.method import Rules, grey
from appliance.learning.rules.parameter import Declared, RuleParameters, changed, declared, flat
from appliance.learning.rules.threads import one_thread
from appliance.modelling import Detections

DRAWN_SHARE = 0.25
_FEWEST_CHANGES, _MOST_CHANGES = 1, 3
_STRIDE = 0.2
"""Of a parameter's range: the deviation of a change."""
_REMEMBERED = 4
"""Sets of candidates that are kept: trials that change limits alone need no second look at pixels."""

Progress = Callable[[int, int], object]
"""Called with trials done and trials in all."""


@dataclass(frozen=True)
class Budget:
    """What tuning may cost.

    Attributes:
        trials: Sets of parameters to try, the first among them.
        most_seconds: Stop after so long; the result then depends on the machine. None: no limit of time.
    """

    trials: int
    seed: int = 1
    most_seconds: float | None = None


@dataclass(frozen=True)
class Trial:
    """What one set of parameters led to on the development split.

    Attributes:
        cost: Escape rate plus false-reject rate. map50: Mean average precision at IoU 0.5.
    """

    parameters: RuleParameters
    outcome: Outcome
    cost: float
    map50: float

    def beats(self, other: Trial) -> bool:
        """Whether it is better."""
        return (self.cost, -self.map50) < (other.cost, -other.map50)


@dataclass(frozen=True)
class Tuning:
    """A finished search.

    Attributes:
        first, best: The parameters before and after, with the score that was chosen for each.
        trials: Sets of parameters that were tried. improvements: How often one was better.
        cpu_seconds, seconds: What it took.
    """

    first: Trial
    best: Trial
    trials: int
    improvements: int
    seed: int
    image_count: int
    cpu_seconds: float
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "trials": self.trials,
            "improvements": self.improvements,
            "seed": self.seed,
            "images": self.image_count,
            "objective": "escape rate + false-reject rate at the best score; then mAP@0.5",
            "cost_before": round(self.first.cost, 6),
            "cost_after": round(self.best.cost, 6),
            "map50_before": round(self.first.map50, 6),
            "map50_after": round(self.best.map50, 6),
            **{f"tuned_{name}": value for name, value in self.best.outcome.figures().items()},
            "cpu_seconds": round(self.cpu_seconds, 2),
            "seconds": round(self.seconds, 2),
        }


class Bench:
    """The development split, looked at once; sets of parameters are tried on it.

    Args:
        rules: Method and classes; their parameters are where a tuning begins.
        images: Class ids are those of `rules`.
    """

    def __init__(self, rules: Rules, images: Sequence[LabelledImage], progress: Progress | None = None) -> None:
        self.rules, self.images = rules, images
        self._views: list[tuple[Any, tuple[int, ...]]] = []
        for number, image in enumerate(images, start=1):
            pixels = grey(image.path)
            self._views.append((rules.method.view(pixels, image), pixels.shape[::-1]))
            if progress is not None:
                progress(number, len(images))
        self._candidates: dict[Any, list[Sequence[Any]]] = {}

    def found(self, parameters: RuleParameters) -> list[Detections]:
        """Detect in every image."""
        candidates = self._found(parameters.find)
        return [
            self.rules.judged(own, parameters, size) for own, (_, size) in zip(candidates, self._views, strict=True)
        ]

    def trial(self, parameters: RuleParameters) -> Trial:
        """Try one set of parameters; the score is chosen, not taken from them."""
        found = self.found(parameters)
        outcome = WhatIf.of(self.images, found).choose()
        assert outcome is not None  # without limits there is always a choice
        precision = average_precision(self.images, found, self.rules.class_names)
        cost = round((outcome.escapes.value or 0.0) + (outcome.false_rejects.value or 0.0), 9)
        scored = changed(parameters, {"score": outcome.score})
        return Trial(scored, outcome, cost, precision.map50 or 0.0)

    def _found(self, find: Any) -> list[Sequence[Any]]:
        key = find.model_dump_json()
        known = self._candidates.pop(key, None)
        if known is None:
            known = [self.rules.method.candidates(view, find) for view, _ in self._views]
        self._candidates[key] = known
        while len(self._candidates) > _REMEMBERED:
            del self._candidates[next(iter(self._candidates))]
        return known


def tune(rules: Rules, images: Sequence[LabelledImage], budget: Budget, progress: Progress | None = None) -> Tuning:
    """Search for better parameters.

    Args:
        rules: Where to begin.
        images: The development split.
        progress: Called after each trial.
    """
    with one_thread():
        return _search(rules, images, budget, progress)


def _search(rules: Rules, images: Sequence[LabelledImage], budget: Budget, progress: Progress | None) -> Tuning:
    started, cpu_started = time.monotonic(), time.process_time()
    bench = Bench(rules, images)
    first = best = bench.trial(rules.parameters)
    random = np.random.default_rng(budget.seed)
    fields = [one for one in declared(rules.parameters) if one.name != "score"]
    done, improvements, drawn = 1, 0, round(budget.trials * DRAWN_SHARE)
    last = math.inf if budget.most_seconds is None else started + budget.most_seconds
    while done < budget.trials and time.monotonic() < last:
        values = _drawn(fields, random) if done <= drawn else _changed(fields, best.parameters, random)
        one = bench.trial(changed(best.parameters, values))
        done += 1
        if one.beats(best):
            best, improvements = one, improvements + 1
        if progress is not None:
            progress(done, budget.trials)
    return Tuning(
        first=first,
        best=best,
        trials=done,
        improvements=improvements,
        seed=budget.seed,
        image_count=len(images),
        cpu_seconds=time.process_time() - cpu_started,
        seconds=time.monotonic() - started,
    )


def _drawn(fields: Sequence[Declared], random: np.random.Generator) -> dict[str, float]:
    return {one.name: _fitting(one, random.uniform(one.low, one.high)) for one in fields}


def _changed(fields: Sequence[Declared], best: RuleParameters, random: np.random.Generator) -> dict[str, float]:
    values = flat(best)
    count = int(random.integers(_FEWEST_CHANGES, _MOST_CHANGES + 1))
    chosen = [fields[place] for place in random.choice(len(fields), size=min(count, len(fields)), replace=False)]
    return {
        one.name: _fitting(one, values[one.name] + random.normal() * _STRIDE * (one.high - one.low)) for one in chosen
    }


def _fitting(one: Declared, value: float) -> float:
    kept = min(one.high, max(one.low, value))
    return round(kept) if one.is_whole else float(f"{kept:.4g}")
