"""What a press with worn tools does to parts: defects of drawn sizes, and harmless deviations below the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.learning.tabs import cut_kinds, surface_kinds
from appliance.learning.tabs.deviation import Deviation
from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.outline import Outline
from appliance.learning.tabs.regime import Regime
from appliance.learning.tabs.surface import Mark

_SPACE_MM = 1.2
"""Between deviations: two that touch have no ground truth of their own."""
_TRIES = 30
_LARGEST_MM = {
    "burr": 1.1,
    "excess_material": 1.8,
    "missing_corner": 1.8,
    "crack": 3.2,
    "fold": 7.5,
    "scratch": 6.5,
    "contamination": 1.4,
}
_HARMLESS = ("burr", "contamination", "contamination", "contamination", "scratch")
"""What good parts show too, how often against each other; the size decides."""

_CUT: dict[str, Callable[[Outline, float, Draws], cut_kinds.CutChange]] = {
    "burr": cut_kinds.burr,
    "excess_material": cut_kinds.excess_material,
    "missing_corner": cut_kinds.missing_corner,
    "crack": cut_kinds.crack,
}
_SURFACE: dict[str, Callable[[Regime, float, Draws], Mark]] = {
    "fold": surface_kinds.fold,
    "scratch": surface_kinds.scratch,
    "contamination": surface_kinds.contamination,
}


@dataclass(frozen=True)
class Press:
    """Makes deviations of one part.

    Attributes:
        regime: The station. outline: The part's. mm_per_px: The station's, for limits in px.
    """

    regime: Regime
    outline: Outline
    mm_per_px: float

    def defects(self, kinds: Sequence[str], others: Sequence[Deviation], draws: Draws) -> tuple[Deviation, ...]:
        """Draw defects that touch neither each other nor others; one that finds no room is left out."""
        placed: list[Deviation] = []
        for kind in kinds:
            for _ in range(_TRIES):
                deviation = self._deviation(kind, self._size(kind, draws), draws)
                if _is_clear(deviation, (*placed, *others)):
                    placed.append(deviation)
                    break
        return tuple(placed)

    def harmless(self, draws: Draws) -> tuple[Deviation, ...]:
        """Draw dust, tiny burrs and short marks, all well below the limits."""
        knobs = self.regime.difficulty
        found = []
        for _ in range(int(draws.generator.poisson(knobs.harmless))):
            kind = _HARMLESS[draws.pick(len(_HARMLESS))]
            share = draws.within((min(0.2, knobs.largest_harmless), knobs.largest_harmless))
            found.append(self._deviation(kind, share * self._limit(kind), draws))
        return tuple(found)

    def _limit(self, kind: str) -> float:
        return self.regime.limits.of(kind, self.mm_per_px)

    def _size(self, kind: str, draws: Draws) -> float:
        """Draw a defect's size in mm: many small ones, few large ones."""
        knobs, limit = self.regime.difficulty, self._limit(kind)
        share = knobs.smallest + float(draws.generator.exponential(knobs.typical - knobs.smallest))
        return max(knobs.smallest * limit, min(share * limit, knobs.largest * limit, _LARGEST_MM[kind]))

    def _deviation(self, kind: str, size_mm: float, draws: Draws) -> Deviation:
        limit = self._limit(kind)
        if kind in _SURFACE:
            return Deviation(
                kind=kind, size_mm=size_mm, limit_mm=limit, mark=_SURFACE[kind](self.regime, size_mm, draws)
            )
        change = _CUT[kind](self.outline, size_mm, draws)
        return Deviation(kind=kind, size_mm=size_mm, limit_mm=limit, added=change.added, removed=change.removed)


def _is_clear(deviation: Deviation, others: Sequence[Deviation]) -> bool:
    extent = deviation.extent()
    low, high = extent.min(axis=0) - _SPACE_MM, extent.max(axis=0) + _SPACE_MM
    extents = [other.extent() for other in others]
    return not any((theirs.max(axis=0) > low).all() and (theirs.min(axis=0) < high).all() for theirs in extents)
