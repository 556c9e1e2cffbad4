"""From a float bundle to an INT8 network within the budget, or to the reasons why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.errors import ModelError
from appliance.modelling.bundle import ModelBundle
from appliance.modelling.quantise.calibration_set import CalibrationSet
from appliance.modelling.quantise.figures import Budget, Figures, Measure
from appliance.modelling.quantise.preparation import Prepared, prepare
from appliance.modelling.quantise.ranges import METHODS
from appliance.modelling.quantise.search import Report, Search, Trial
from appliance.modelling.quantise.timing import Speed, compare_speed


@dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes:
        measure: Runs a bundle over the validation images.
        methods: Of `METHODS`, in the order in which they are tried.
        has_seven_bit_weights: For x86 processors without VNNI, whose 8-bit sums may overflow.
    """

    bundle: ModelBundle
    calibration: CalibrationSet
    measure: Measure
    budget: Budget
    methods: Sequence[str] = METHODS
    has_seven_bit_weights: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        before: The float model's figures.
        best: The INT8 network chosen; over budget where nothing held it.
        holds: Whether it is within budget.
        speeds: Empty where it isn't: nobody needs to know how fast a wrong model is.
    """

    order: Order
    prepared: Prepared
    before: Figures
    best: Trial
    trials: tuple[Trial, ...]
    holds: bool
    speeds: tuple[Speed, ...]

    @property
    def size_bytes(self) -> tuple[int, int]:
        """Of the network's file, before and after."""
        return len(self.order.bundle.onnx_bytes), len(self.best.bundle.onnx_bytes)

    def refusal(self) -> str:
        """Say in one line why there is no bundle, what came nearest, and what to try."""
        budget, after = self.order.budget, self.best.figures
        escapes = budget.max_extra_escapes
        return (
            f"model {self.order.bundle.name}: no INT8 network within the budget of {budget.max_map_drop:g} mAP points"
            f"{'' if escapes is None else f' and {escapes} more escapes'}; nearest: {self.best.method}, "
            f"{len(self.best.in_float)} of "
            f"{len(self.prepared.regions.weighted)} convolutions in float, mAP@0.5 {self.before.map50:.4f} to "
            f"{after.map50:.4f}, mAP@0.5:0.95 {self.before.map50_95:.4f} to {after.map50_95:.4f}, escapes "
            f"{self.before.escapes} to {after.escapes} of {after.ng_parts} NG parts; try more and more varied "
            f"calibration images, other --methods, or a wider --max-map-drop"
            f"{'' if escapes is None else ' or --max-extra-escapes'}"
        )


def quantise(order: Order, report: Report) -> Outcome:
    """Find the fastest INT8 network within the budget, and time it against the float one.

    Raises:
        ModelError: The network can't be quantised, or a session failed.
        ModelContractMismatch: A calibration image doesn't fit the model's input.
    """
    bundle = order.bundle
    if bundle.task != "detect":
        raise ModelError(f"model {bundle.name}: quantisation knows detectors, this one's task is {bundle.task!r}")
    prepared = prepare(bundle)
    frames = order.calibration.frames(bundle.input)
    batches = [np.stack([frame] * max(1, bundle.input.batch)) for frame in frames]
    search = Search(
        bundle,
        prepared,
        batches,
        order.measure,
        order.budget,
        has_seven_bit_weights=order.has_seven_bit_weights,
        report=report,
    )
    best = search.run(order.methods)
    holds = order.budget.holds(search.before, best.figures)
    speeds: list[Speed] = []
    if holds:
        speeds = compare_speed(
            bundle, best.bundle, frames, seen=lambda done, total: report("float against INT8", done, total)
        )
    return Outcome(order, prepared, search.before, best, tuple(search.trials), holds, tuple(speeds))
