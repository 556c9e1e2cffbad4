"""Where training pictures come from: parts of the set, cuttings of them, mosaics, drawn boards.

Every epoch draws its own random numbers from (seed, epoch), so a resumed run sees what an uninterrupted one would
have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from appliance.learning.boards import draw_board
from appliance.learning.training.augment import cut, mosaic, orient, vary
from appliance.learning.training.part import Part
from appliance.learning.training.plan import Plan

MOST_LURED_PARTS = 2000
"""Good parts that are looked at after a check: more take long, and those of earlier checks keep theirs."""


class Supply:
    """The batches of each epoch."""

    def __init__(self, plan: Plan, parts: Sequence[Part]) -> None:
        self.plan = plan
        self.parts = [part for part in parts if not part.is_ignored.any()]
        self._lured: list[int] = []

    def steps(self, epoch: int) -> int:
        """Return how many batches an epoch has."""
        return max(1, self._amount(epoch) // self._batch(epoch))

    def pixels(self, epoch: int) -> int:
        """Return how many px an epoch looks at: what its time goes with."""
        plan = self.plan
        each = plan.cut_px**2 if self._is_cutting(epoch) else plan.width_px * plan.height_px
        return self.steps(epoch) * self._batch(epoch) * each

    def batches(self, epoch: int) -> Iterator[list[Part]]:
        """Yield the epoch's batches."""
        rng = np.random.default_rng([self.plan.seed, epoch])
        size, steps = self._batch(epoch), self.steps(epoch)
        rounds = -(-steps * size // len(self.parts))
        order = np.concatenate([rng.permutation(len(self.parts)) for _ in range(rounds)])
        for step in range(steps):
            yield [self._picture(int(index), epoch, rng) for index in order[step * size : (step + 1) * size]]

    def looks_for_lures(self, epoch: int) -> bool:
        """Whether cuttings that come after an epoch could show lures."""
        return self.plan.variation.lure_share > 0 and self._is_cutting(epoch + 1)

    def good_parts(self, epoch: int) -> list[int]:
        """Choose the places of some good parts on which lures are looked for after an epoch."""
        good = [place for place, part in enumerate(self.parts) if part.is_ok]
        rng = np.random.default_rng([self.plan.seed, epoch, 1])
        return sorted(int(place) for place in rng.permutation(good)[:MOST_LURED_PARTS])

    @property
    def lures(self) -> dict[int, list[list[float]]]:
        """What was taken for a defect, by the place of the part; for the checkpoint."""
        return {place: part.lures.tolist() for place, part in enumerate(self.parts) if len(part.lures)}

    def set_lures(self, lures: Mapping[int, ArrayLike]) -> None:
        """Take (K, 4) boxes in px for some parts; those of the others stay."""
        for place, boxes in lures.items():
            self.parts[place] = replace(self.parts[place], lures=np.asarray(boxes, np.float32).reshape(-1, 4))
        self._lured = [place for place, part in enumerate(self.parts) if len(part.lures)]

    def _picture(self, index: int, epoch: int, rng: np.random.Generator) -> Part:
        plan, how = self.plan, self.plan.variation
        if rng.random() < how.drawn_share:
            return vary(self._drawn(epoch, rng), plan, rng)
        part = self.parts[index]
        if self._is_cutting(epoch):
            if part.is_ok and self._lured and rng.random() < how.lure_share:
                part = self.parts[self._lured[rng.integers(len(self._lured))]]
            return vary(cut(part, plan.cut_px, rng), plan, rng)
        if rng.random() < how.mosaic_share:
            others = [self.parts[int(other)] for other in rng.integers(len(self.parts), size=3)]
            views = 8 if how.turns and plan.width_px == plan.height_px else 4 if how.flips else 1
            return vary(mosaic([orient(one, int(rng.integers(views))) for one in (part, *others)], rng), plan, rng)
        return vary(part, plan, rng)

    def _drawn(self, epoch: int, rng: np.random.Generator) -> Part:
        plan = self.plan
        height, width = (plan.cut_px, plan.cut_px) if self._is_cutting(epoch) else (plan.height_px, plan.width_px)
        pixels = np.ascontiguousarray(draw_board(max(height, width), rng)[:height, :width])
        return Part(
            path=Path("drawn"),
            part="drawn",
            boxes=np.zeros((0, 4), np.float32),
            class_ids=np.zeros(0, np.int64),
            is_ignored=np.zeros(0, np.bool_),
            pixels=pixels,
        )

    def _is_cutting(self, epoch: int) -> bool:
        return epoch < self.plan.cut_epochs

    def _batch(self, epoch: int) -> int:
        return self.plan.cuts_in_batch if self._is_cutting(epoch) else self.plan.frames_in_batch

    def _amount(self, epoch: int) -> int:
        wanted = self.plan.cuts_in_epoch if self._is_cutting(epoch) else self.plan.frames_in_epoch
        return wanted or len(self.parts)
