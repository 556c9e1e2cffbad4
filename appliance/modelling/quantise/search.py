"""The search for the fastest INT8 network that stays within the budget.

Everything that can be 8 bits is, by each method; then the head is left in float, then more and more of the nodes that
suffer most, then all that lies between the convolutions. Of several that hold the budget, the one that lets the least
pass wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.bundle import ModelBundle
from appliance.modelling.quantise.figures import Budget, Figures, Measure, missed_more
from appliance.modelling.quantise.preparation import Prepared
from appliance.modelling.quantise.qdq import write_qdq
from appliance.modelling.quantise.ranges import Range, choose_ranges, look
from appliance.modelling.quantise.sensitivity import rank
from appliance.modelling.quantise.trial import with_network

RANKING_FRAMES = 8
LARGEST_FLOAT_SHARE = 0.5
"""Of the weighted nodes; with more of them in float there is little left to gain."""
HOPELESS = 10.0
"""mAP points over budget: a method that loses so much at first isn't tried again."""

Report = Callable[[str, int, int], None]
"""Told what is being done, how many of how many steps are done."""


@dataclass(frozen=True)
class Trial:
    """One INT8 network that was measured.

    Attributes:
        method: How ranges were chosen.
        in_float: Names of the weighted nodes that stay in float.
        carries: Whether what lies between convolutions is 8 bits as well.
        reads_uint8: Whether the first 8-bit operation reads the pixels as they are.
        bundle: The parent's contract around this network.
        figures: Of the validation images.
    """

    method: str
    in_float: tuple[str, ...]
    carries: bool
    reads_uint8: bool
    bundle: ModelBundle
    figures: Figures


class Search:
    """Quantise, measure, leave more in float, until the budget holds."""

    def __init__(
        self,
        bundle: ModelBundle,
        prepared: Prepared,
        frames: Sequence[NDArray[np.uint8]],
        measure: Measure,
        budget: Budget,
        *,
        has_seven_bit_weights: bool = False,
        report: Report,
    ) -> None:
        """Take what is needed; `run` does the work.

        Args:
            frames: Calibration images as model inputs, each a batch of the size that the network takes.
        """
        self._bundle, self._prepared, self._frames = bundle, prepared, frames
        self._measure, self._budget, self._report = measure, budget, report
        self._has_seven_bit_weights = has_seven_bit_weights
        report("the float model", 0, 1)
        self.before = measure(bundle)
        report("the float model", 1, 1)
        self.trials: list[Trial] = []

    def run(self, methods: Sequence[str]) -> Trial:
        """Search; returns the winner, or where nothing holds the budget, the one that came nearest."""
        ranges = self._ranges(methods)
        self._try_each(ranges, "head in 8 bits", ())
        if not any(self._finds_as_much(trial) for trial in self._holding()):
            hopeful = {trial.method for trial in self.trials if self._excess(trial)[1] < HOPELESS}
            kept = {name: one for name, one in ranges.items() if not hopeful or name in hopeful}
            self._try_each(kept, "head in float", self._prepared.regions.head)
        if not self._holding():
            self._widen(ranges)
        return min(self._holding() or self.trials, key=self._merit)

    def _ranges(self, methods: Sequence[str]) -> dict[str, dict[str, Range]]:
        regions = self._prepared.regions
        histograms = look(
            self._prepared.graph,
            {*regions.weighted, *regions.carriers},
            self._bundle.input.name,
            self._frames,
            lambda done, total: self._report("calibration", done, total),
        )
        return {method: choose_ranges(method, histograms) for method in methods}

    def _try_each(self, ranges: dict[str, dict[str, Range]], what: str, in_float: tuple[str, ...]) -> None:
        for number, (method, chosen) in enumerate(ranges.items()):
            self._report(f"{what}, {method}", number, len(ranges))
            self._try(method, chosen, in_float)
            self._report(f"{what}, {method}", number + 1, len(ranges))

    def _widen(self, ranges: dict[str, dict[str, Range]]) -> None:
        """Leave more in float by the best method so far: doubled until the budget holds, then halved back."""
        method = min(self.trials, key=self._merit).method
        order = self._order(ranges[method])
        limit = int(len(order) * LARGEST_FLOAT_SHARE)
        for carries in (True, False):
            failed, count = 0, 1
            while count <= limit and not self._try_count(method, ranges[method], order, count, carries):
                failed, count = count, count * 2
            if count <= limit:
                self._narrow(method, ranges[method], order, (failed, count), carries)
                return

    def _narrow(
        self, method: str, ranges: dict[str, Range], order: list[str], between: tuple[int, int], carries: bool
    ) -> None:
        failed, held = between
        while held - failed > 1:
            middle = (failed + held) // 2
            if self._try_count(method, ranges, order, middle, carries):
                held = middle
            else:
                failed = middle

    def _order(self, ranges: dict[str, Range]) -> list[str]:
        """Names of the weighted nodes besides the head, the most sensitive first."""
        ranked = rank(
            self._prepared,
            ranges,
            self._bundle.input.name,
            self._frames[:RANKING_FRAMES],
            lambda done, total: self._report("sensitivity of each node", done, total),
        )
        return [name for name, _ in ranked if name not in self._prepared.regions.head]

    def _try_count(self, method: str, ranges: dict[str, Range], order: list[str], count: int, carries: bool) -> bool:
        self._report(f"{count} sensitive nodes in float", 0, 1)
        trial = self._try(method, ranges, (*self._prepared.regions.head, *order[:count]), carries=carries)
        self._report(f"{count} sensitive nodes in float", 1, 1)
        return self._budget.holds(self.before, trial.figures)

    def _try(self, method: str, ranges: dict[str, Range], in_float: tuple[str, ...], *, carries: bool = True) -> Trial:
        regions = self._prepared.regions
        nodes = [name for name in regions.weighted if name not in in_float] + list(regions.carriers if carries else ())
        quantised = write_qdq(self._prepared, ranges, nodes, has_seven_bit_weights=self._has_seven_bit_weights)
        bundle = with_network(self._bundle, quantised.model.SerializeToString(deterministic=True))
        trial = Trial(method, in_float, carries, quantised.reads_uint8, bundle, self._measure(bundle))
        self.trials.append(trial)
        return trial

    def _holding(self) -> list[Trial]:
        return [trial for trial in self.trials if self._budget.holds(self.before, trial.figures)]

    def _finds_as_much(self, trial: Trial) -> bool:
        """Whether nothing is lost at the score threshold, where mAP doesn't look."""
        return trial.figures.escapes <= self.before.escapes and not missed_more(self.before, trial.figures)

    def _excess(self, trial: Trial) -> tuple[int, float]:
        return self._budget.excess(self.before, trial.figures)

    def _merit(self, trial: Trial) -> tuple[float, ...]:
        """Order of trials, the best first: within budget, finds as much, has little in float."""
        figures = trial.figures
        return (
            *self._excess(trial),
            figures.escapes,
            missed_more(self.before, figures),
            not trial.carries,
            len(trial.in_float),
            figures.false_rejects,
            -figures.map50,
        )
