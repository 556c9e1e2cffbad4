"""Why a picture is taken, decided by what is known of its frame. Each reason is a JSON object with its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig, Recipe
from appliance.errors import ConfigError
from appliance.inspection.recipes import load_recipes
from appliance.learning.capture.case import Case
from appliance.learning.capture.request import CaptureRequest

Reason = dict[str, Any]
_OPINIONS = ("OK", "NG")
_REREAD_NS = 5 * NS_PER_S


class Rules:
    """The recipes by their hashes: their rules say near what a score is uncertain.

    Raises:
        ConfigError: A recipe can't be read.
    """

    def __init__(self, config: ApplianceConfig, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._config = config
        self._now_ns = now_ns
        self._read_ns = 0
        self._recipes: dict[str, Recipe] = {}
        self._read()

    def find(self, reference: Mapping[str, Any] | None) -> Recipe | None:
        """Return the recipe that a record names; one that was edited meanwhile is read again. None: not to be had."""
        if reference is None:
            return None
        if reference["sha256"] not in self._recipes and self._now_ns() - self._read_ns > _REREAD_NS:
            try:
                self._read()
            except ConfigError:
                return None  # being edited: the publisher goes on with what it has read, and we without
        return self._recipes.get(reference["sha256"])

    def _read(self) -> None:
        self._read_ns = self._now_ns()
        self._recipes |= {one.sha256: one.recipe for one in load_recipes(self._config)}


def reasons(case: Case, request: CaptureRequest, rules: Rules) -> list[Reason]:
    """Say why a frame is wanted; [] when it isn't."""
    found: list[Reason] = []
    if case.frame is not None and case.frame.is_requested:
        found.append({"reason": "requested"})
    if request.is_nth(case.trigger_id):
        found.append({"reason": "every", "every": request.every})
    if request.ng and case.verdict == "NG":
        found.append({"reason": "ng"})
    if request.uncertain:
        found += _doubts(case, rules.find(case.record["recipe"] if case.record is not None else None), request.margin)
    return found


def _doubts(case: Case, recipe: Recipe | None, margin: float) -> Iterator[Reason]:
    if recipe is not None and (near := _nearest_to_rule(case, recipe, margin)) is not None:
        yield {"reason": "near_threshold", **near}
    for view in case.views:
        for shadow in case.shadows:
            words = view["finding"]["verdict"], shadow["verdict"]
            same_rules = case.record is not None and shadow["recipe"] == case.record["recipe"]
            if shadow["view"] == view["view"] and same_rules and words in (_OPINIONS, _OPINIONS[::-1]):
                said = {"view": view["view"], "in_use": words[0], "shadow": words[1], "model": shadow["model"]["name"]}
                yield {"reason": "shadow_disagrees", **said}
    if case.frame is not None and case.frame.outlier is not None:
        yield {"reason": "outlier", **case.frame.outlier}


def _nearest_to_rule(case: Case, recipe: Recipe, margin: float) -> dict[str, Any] | None:
    """Of the best scores of all classes, find the one nearest to its class's rule, if it is within the margin."""
    best: dict[str, float] = {}
    for row in (*case.detections("defects"), *case.detections("near_misses")):
        best[row["class_name"]] = max(row["score"], best.get(row["class_name"], 0.0))
    known = [(name, score, recipe.classes[name].score) for name, score in best.items() if name in recipe.classes]
    if not known:
        return None
    name, score, threshold = min(known, key=lambda one: abs(one[1] - one[2]))
    return {"class_name": name, "score": score, "threshold": threshold} if abs(score - threshold) <= margin else None
