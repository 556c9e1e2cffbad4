"""One `appliance train`, in order of time: divide the images, let the child learn, make the bundle, quantise it.

Every step can be cut off at any moment, by Ctrl-C or kill -9, and the same command goes on: the child from its last
epoch, everything behind it from the beginning of its step.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ModelError
from appliance.learning.training.plan import Plan
from appliance.learning.training_run.advice import advise
from appliance.learning.training_run.bundle import Made, check_free, is_of, make_bundle, put_bundle, training_table
from appliance.learning.training_run.child import alone_in, run_child
from appliance.learning.training_run.division import Division, divide
from appliance.learning.training_run.environment import child_command
from appliance.learning.training_run.handover import hand_over, hand_over_yolo
from appliance.learning.training_run.input_size import common_size, size_note
from appliance.learning.training_run.int8 import CalibrationSource, Quantised, quantise_trained
from appliance.learning.training_run.networks import network_named
from appliance.learning.training_run.order import HANDED_OVER, TrainOrder, plan_of, settle_plan
from appliance.learning.training_run.outcome import CURVE_FILE, NETWORK_FILE, OUTCOME_FILE, PLAN_FILE, Outcome
from appliance.learning.training_run.page import training_page
from appliance.learning.training_run.reporter import EpochDone, Reporter
from appliance.learning.training_run.score import EVERY_WAY, FLIPPED, MIRRORED, UPRIGHT
from appliance.modelling.quantise import read_calibration_set

PAGE_FILE = "training.html"
CHECKPOINT_FILE = "checkpoint.pt"
YOLO_SET = "yolo"
USELESS_MAP50 = 0.1
_ESTIMATE_AT = 3
"""Which step event: the first steps are slow, and no measure of the others."""
LIBREYOLO_FOLDERS = ("kept", "libreyolo")


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        quantised: None where it wasn't asked for, or could not be done: `unquantised` then says why, else it is "".
        warnings: What is missing in the images, and in the model.
    """

    plan: Plan
    outcome: Outcome
    division: Division
    made: Made
    quantised: Quantised | None
    unquantised: str
    page: Path
    warnings: tuple[str, ...]


def train(order: TrainOrder, reporter: Reporter) -> Trained:
    """Train, and make what the appliance runs.

    Raises:
        ToolMissing: There is no training environment.
        DatasetError: The images can't be used. ConfigError: The options or settings can't.
        TrainingFailed: The child failed, or the work folder is another training's.
        ModelError: The model's place is taken, or its network isn't accepted.
    """
    network = network_named(order.network)
    command = child_command(network.backend, (order.work / PLAN_FILE).absolute(), order.python)
    target = order.models_dir / order.name
    if not (order.work / OUTCOME_FILE).is_file():
        check_free(target, None, overwrites=order.overwrites)
    if order.calibration is not None:
        read_calibration_set(order.calibration, order.calibration_data)  # hours later it would be too late to say no
    division = divide(
        order.dataset,
        order.shares,
        file_format=order.file_format,
        class_names=order.class_names,
        progress=lambda done, total: reporter.progress("comparing images", done, total),
    )
    order.work.mkdir(parents=True, exist_ok=True)
    with alone_in(order.work) as lock:
        plan = plan_of(order, division)
        warnings = _tell_start(plan, division, reporter)
        if order.restarts:
            _forget(order.work)
        hand_over(division, order.work / HANDED_OVER, restarts=order.restarts)
        if network.backend == "libreyolo":
            hand_over_yolo(
                division,
                order.work / YOLO_SET,
                restarts=order.restarts,
                progress=lambda done, total: reporter.progress("writing the set for libreyolo", done, total),
            )
        settle_plan(plan, order.work, restarts=order.restarts)
        if (order.work / OUTCOME_FILE).is_file():
            reporter.say(f"the training in {order.work} has ended: its model is made again; --restart trains anew")
        else:
            reporter.say(f"training {network.name} for {plan.epochs} epochs at most, seed {plan.seed}")
            reporter.begin(plan.epochs)
            run_child(command, order.work, lock, _Ear(plan, reporter).hear)
        outcome = Outcome.read(order.work)
        made = _bundle(order, plan, outcome, division, reporter)
        warnings += _tell_end(made, reporter)
        page = order.work / PAGE_FILE
        page.write_text(training_page(made.bundle, made.evaluations, warnings), encoding="utf-8")
        quantised, reason = _quantised(order, made, division, reporter)
        return Trained(plan, outcome, division, made, quantised, reason, page, tuple(warnings))


class _Ear:
    """Turns the child's events into what a person wants to know; the first estimate is said once."""

    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self._plan, self._reporter = plan, reporter
        self._steps = 0

    def hear(self, event: dict[str, Any]) -> None:
        """Take one event; those of kinds unknown here are skipped."""
        kind, left = event["event"], event.get("minutes_left")
        if kind == "start":
            self._reporter.say(_started(event))
        elif kind == "note":
            self._reporter.say(str(event.get("text", ""))[:300])
        elif kind == "step":
            self._steps += 1
            if self._steps == _ESTIMATE_AT and isinstance(left, int | float):
                self._reporter.say(f"estimate, by the first steps on this machine: {_duration(left)} at most")
            self._reporter.step(*(_number(event, name) for name in ("epochs", "loss", "minutes_left")))
        elif kind == "epoch" and (done := EpochDone.of(event, self._plan.epochs)) is not None:
            self._reporter.epoch(done)


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _number(event: dict[str, Any], name: str) -> float | None:
    value = event.get(name)
    return float(value) if isinstance(value, int | float) else None


def _started(event: dict[str, Any]) -> str:
    after = f", going on after epoch {event['after_epoch']}" if event.get("after_epoch") else ""
    return (
        f"{event.get('train', '?')} parts to learn from, {event.get('val', '?')} to check on, "
        f"{event.get('parameters', '?')} parameters{after}"
    )


def _tell_start(plan: Plan, division: Division, reporter: Reporter) -> list[str]:
    image_px, input_px = common_size(division.train.images), (plan.width_px, plan.height_px)
    for note in (*division.notes, size_note(image_px, input_px)):
        reporter.say(note)
    warnings = advise(division, input_px, image_px)
    for warning in warnings:
        reporter.say(f"warning: {warning}")
    return warnings


def _tell_end(made: Made, reporter: Reporter) -> list[str]:
    map50 = made.evaluations["val"].map50
    if map50 is None or map50 >= USELESS_MAP50:
        return []
    warning = (
        f"the model has learned next to nothing (mAP@0.5 {map50:.4f} on val): train longer, or see the page for why"
    )
    reporter.say(f"warning: {warning}")
    return [warning]


def _forget(work: Path) -> None:
    for name in (OUTCOME_FILE, CHECKPOINT_FILE, CURVE_FILE, NETWORK_FILE, PLAN_FILE):
        (work / name).unlink(missing_ok=True)
    for name in LIBREYOLO_FOLDERS:
        shutil.rmtree(work / name, ignore_errors=True)


def _bundle(order: TrainOrder, plan: Plan, outcome: Outcome, division: Division, reporter: Reporter) -> Made:
    training = training_table(
        outcome,
        division,
        data=order.data,
        licence=order.licence,
        network=order.network,
        seed=plan.seed,
        command=order.command,
    )
    target = order.models_dir / order.name
    check_free(target, training, overwrites=order.overwrites)
    made = make_bundle(
        outcome,
        division,
        name=order.name,
        work=order.work,
        training=training,
        views=_views(plan),
        reporter=reporter,
    )
    if target.exists() and not is_of(target, training):
        shutil.rmtree(_int8_folder(order), ignore_errors=True)  # made of the model that is replaced now
    return put_bundle(made, target)


def _views(plan: Plan) -> Sequence[int]:
    """Return the orientations that the network has learned."""
    if not plan.variation.flips:
        return UPRIGHT
    if network_named(plan.network).backend == "libreyolo":
        return MIRRORED
    return EVERY_WAY if plan.variation.turns and plan.width_px == plan.height_px else FLIPPED


def _int8_folder(order: TrainOrder) -> Path:
    return order.models_dir / f"{order.name}-int8"


def _quantised(order: TrainOrder, made: Made, division: Division, reporter: Reporter) -> tuple[Quantised | None, str]:
    """Quantise; the float model stands whatever comes of it."""
    if not order.quantises:
        return None, ""
    folder = _int8_folder(order)
    training = made.bundle.model_dump(mode="json", exclude_none=True)["training"]
    try:
        check_free(folder, training, overwrites=order.overwrites)
        source = CalibrationSource(order.calibration, order.calibration_data, order.data, order.licence)
        quantised = quantise_trained(
            made.bundle,
            folder,
            division,
            source,
            work=order.work,
            budget=order.budget,
            made_by=order.command,
            reporter=reporter,
        )
    except ModelError as error:
        return None, str(error)
    return quantised, "" if quantised.folder is not None else quantised.outcome.refusal()
