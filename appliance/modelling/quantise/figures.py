"""What quantisation is measured by, and how much of it may be lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.modelling.bundle import ModelBundle


@dataclass(frozen=True)
class Figures:
    """How good a detector is on labelled images, at the bundle's score threshold."""

    map50: float
    map50_95: float
    escapes: int
    ng_parts: int
    false_rejects: int
    ok_parts: int
    missed_defects: int
    defects: int


Measure = Callable[[ModelBundle], Figures]
"""Runs a bundle over the validation images. Given by the caller: data sets and truth live in another room."""


@dataclass(frozen=True)
class Budget:
    """What an INT8 model may lose against the float one.

    Attributes:
        max_map_drop: In mAP points (0.5 is 0.005), of mAP@0.5 and of mAP@0.5:0.95 each.
        max_extra_escapes: How many more NG parts may pass as OK. None for no limit: a part at the very threshold
            shouldn't cost the whole gain; but the difference is always told.
    """

    max_map_drop: float = 0.5
    max_extra_escapes: int | None = None

    def excess(self, before: Figures, after: Figures) -> tuple[int, float]:
        """Return by how much a model is over budget: escapes, then mAP points; (0, 0.0) if it holds."""
        drop = 100.0 * max(before.map50 - after.map50, before.map50_95 - after.map50_95)
        limit = after.escapes if self.max_extra_escapes is None else before.escapes + self.max_extra_escapes
        return max(0, after.escapes - limit), max(0.0, round(drop - self.max_map_drop, 9))

    def holds(self, before: Figures, after: Figures) -> bool:
        """Whether a model loses no more than allowed."""
        return self.excess(before, after) == (0, 0.0)


def missed_more(before: Figures, after: Figures) -> int:
    """Return how many per cent of the defects are missed in addition at the score threshold.

    Average precision doesn't see it when all scores sink together; a line with a fixed threshold does.
    """
    return max(0, round(100 * (after.missed_defects - before.missed_defects) / max(1, after.defects)))
