"""From the trained network to a bundle that says where it comes from and what it is worth, gate passed.

Every figure is measured through the bundle as the appliance runs it: its ONNX file, its session, its decoder.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.errors import ModelError
from appliance.learning.datasets import Dataset, LabelledImage, read_image
from appliance.learning.datasets.deeppcb import board_groups
from appliance.learning.drift.profiling import profile_of_dataset, write_profile
from appliance.learning.evaluation import Evaluation, evaluate
from appliance.learning.evaluation.detecting import BATCH
from appliance.learning.evaluation.metrics import metrics_table
from appliance.learning.evaluation.parts import Parts
from appliance.learning.training.plan import NMS_IOU, Plan
from appliance.learning.training_run.division import Division
from appliance.learning.training_run.outcome import Outcome
from appliance.learning.training_run.reporter import Reporter
from appliance.learning.training_run.score import choose_score
from appliance.modelling import ModelBundle, load_bundle
from appliance.modelling.bundle_writer import put_in_place, write_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.gate.verify import verify
from appliance.modelling.importer.facts import ImportOptions
from appliance.modelling.importer.golden import GoldenImage, write_golden
from appliance.modelling.importer.model_import import Order as ImportOrder
from appliance.modelling.importer.model_import import import_model
from appliance.modelling.quantise.trial import contract_of

GOLDEN_NG, GOLDEN_OK = 3, 1


@dataclass(frozen=True)
class Made:
    """A bundle in its place, and the evaluations behind its figures by split."""

    bundle: ModelBundle
    folder: Path
    evaluations: dict[str, Evaluation]


def training_table(
    outcome: Outcome, division: Division, *, data: str, licence: str, network: str, seed: int, command: str
) -> dict[str, Any]:
    """Return the `[training]` table; data and licence are the person's words, command is what was typed."""
    groups = {split: board_groups(dataset) for split, dataset in division.splits.items()}
    return {
        "data": data,
        "licence": licence,
        "groups": {split: names for split, names in groups.items() if names},
        "parts": {split: len(Parts.of(dataset.images)) for split, dataset in division.splits.items()},
        "network": network,
        "parameters": outcome.parameters,
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "seed": seed,
        "minutes": round(outcome.minutes, 1),
        "machine": outcome.machine,
        "command": command,
        "curve": [
            {
                "epoch": point.epoch,
                "loss": round(point.loss, 4),
                **({} if point.val_map50 is None else {"val_map50": round(point.val_map50, 4)}),
            }
            for point in outcome.curve
        ],
    }


def make_bundle(
    outcome: Outcome,
    division: Division,
    *,
    name: str,
    work: Path,
    training: Mapping[str, Any],
    views: Sequence[int],
    reporter: Reporter,
) -> Made:
    """Import the network, choose its score, measure it, keep golden images and a profile of what it learned from, pass
    the gate; all in the work folder.

    Args:
        training: The `[training]` table.
        views: Orientations in which the score is chosen, as in `choose_score`.
    Raises:
        ImportRefused: The network isn't what the trainer said.
        ModelError: The gate refuses the bundle.
        DatasetError: An image can't be read.
    """
    shutil.rmtree(work / "imported", ignore_errors=True)
    order = ImportOrder(
        file=outcome.network,
        name=name,
        models_dir=work / "imported",
        options=_import_options(outcome, division.class_names),
        overwrites=True,
        command=str(training["command"]),
    )
    imported = import_model(order, lambda what: reporter.say(f"import: {what}"))
    folder, detector = imported.folder, Detector(imported.bundle, max_batch=BATCH)
    score, how = choose_score(
        detector, division.val.images, views, lambda done, total: reporter.progress("choosing the score", done, total)
    )
    evaluations = {
        split: _measured(detector, dataset, score, reporter)
        for split, dataset in division.splits.items()
        if split != "train"
    }
    contract = contract_of(imported.bundle)
    contract["thresholds"] |= {"score": score, "score_method": how}
    contract |= {"training": dict(training), "metrics": _metrics(evaluations, division)}
    bundle = write_bundle(folder, contract)
    write_golden(folder, bundle, [_golden(image) for image in golden_images(division.val)])
    reporter.say("what the training pictures are like, for drift")
    write_profile(folder, profile_of_dataset(detector, division.train))
    bundle = write_bundle(folder, contract)
    reporter.say("gate")
    verify(bundle)
    of_bundle = {"contract_sha256": bundle.contract_sha256}  # written after the measurement, which it contains
    return Made(
        bundle, folder, {split: replace(one, model={**one.model, **of_bundle}) for split, one in evaluations.items()}
    )


def put_bundle(made: Made, target: Path) -> Made:
    """Bring a finished bundle to its place, where one that is there is replaced.

    Raises:
        ModelError: The folder can't be written.
    """
    draft = target.with_name(f".{target.name}.trained")
    try:
        for leftover in (draft, draft.with_name(f"{draft.name}-old")):  # of a command that was killed here
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(made.folder, draft)  # the work folder may be on another disk
        put_in_place(draft, target)
    except OSError as error:
        raise ModelError(f"model bundle {target}: can't be written: {error.strerror}") from error
    return Made(load_bundle(target), target, made.evaluations)


def check_free(target: Path, training: Mapping[str, Any] | None, *, overwrites: bool) -> None:
    """Refuse to replace a bundle that isn't of this very training.

    Args:
        training: The `[training]` table; None before there is one: then a bundle that is there is in the way.
    Raises:
        ModelError: The place is taken.
    """
    if overwrites or not target.exists():
        return
    if training is not None and is_of(target, training):
        return
    raise ModelError(f"model bundle {target}: is there already; choose another --name, or pass --overwrite")


def is_of(folder: Path, training: Mapping[str, Any]) -> bool:
    """Whether a bundle comes from this training: seed, minutes and curve tell."""
    try:
        there = load_bundle(folder).training
    except ModelError:
        return False
    told = {} if there is None else there.model_dump(mode="json", exclude_none=True)
    return bool(told) and all(told.get(key) == training.get(key) for key in ("seed", "minutes", "parameters", "curve"))


def golden_images(val: Dataset) -> list[LabelledImage]:
    """Choose by a fixed rule: NG images evenly spaced by name, then the middle one of the OK images."""
    chosen: list[LabelledImage] = []
    for images, most in (
        ([image for image in val.images if image.is_ng], GOLDEN_NG),
        ([image for image in val.images if image.is_ok], GOLDEN_OK),
    ):
        count = min(most, len(images))
        chosen += [images[(2 * place + 1) * len(images) // (2 * count)] for place in range(count)]
    return chosen


def _measured(detector: Detector, dataset: Dataset, score: float, reporter: Reporter) -> Evaluation:
    what = f"measuring {dataset.split}"
    return evaluate(detector, dataset, score=score, progress=lambda done, total: reporter.progress(what, done, total))


def _golden(image: LabelledImage) -> GoldenImage:
    return GoldenImage(image.path.name, *read_image(image.path))


def _import_options(outcome: Outcome, class_names: tuple[str, ...]) -> ImportOptions:
    """Say what the trainer knows for sure; libreyolo's exports say it themselves, in their metadata."""
    if outcome.family is None:
        return ImportOptions(classes=class_names, pixel_format="Mono8")
    return ImportOptions(
        family=outcome.family,
        classes=class_names,
        pixel_format="Mono8",
        fit="letterbox",
        resize="linear",
        pad_value=int(outcome.plan.get("pad_value", Plan.pad_value)),
        nms_iou=NMS_IOU,
    )


def _metrics(evaluations: Mapping[str, Evaluation], division: Division) -> dict[str, Any]:
    return {
        split: metrics_table(evaluation, board_groups(division.splits[split]))
        for split, evaluation in evaluations.items()
    }
