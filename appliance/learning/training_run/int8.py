"""INT8 of the trained model: calibrated on images that taught, held to a budget on those that chose."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.learning.datasets import read_image
from appliance.learning.evaluation.validation import Reported, Validation
from appliance.learning.training_run.division import Division
from appliance.learning.training_run.reporter import Reporter
from appliance.modelling import ModelBundle
from appliance.modelling.quantise import (
    METHODS,
    Budget,
    Order,
    Outcome,
    choose_calibration,
    quantise,
    read_calibration_set,
    write_manifest,
    write_quantised,
)

CALIBRATION_IMAGES = 48
_LOOKED_AT = 1000
"""Images of which the calibration images are chosen: more take long to look at and add little."""


@dataclass(frozen=True)
class CalibrationSource:
    """Where the calibration images come from.

    Attributes:
        manifest: An existing set; None: chosen from the training split.
        data: Folder of its images, where they aren't beside it.
        source, licence: For a set that is chosen here.
    """

    manifest: Path | None
    data: Path | None
    source: str
    licence: str


@dataclass(frozen=True)
class Quantised:
    """What came of it; `folder` is None where no INT8 network held the budget."""

    outcome: Outcome
    folder: Path | None
    reported: Reported | None


def quantise_trained(
    bundle: ModelBundle,
    folder: Path,
    division: Division,
    source: CalibrationSource,
    *,
    work: Path,
    budget: Budget,
    made_by: str,
    reporter: Reporter,
) -> Quantised:
    """Make the INT8 bundle beside the float one, replacing what `folder` holds; or find that none is good enough.

    Raises:
        ConfigError: The calibration set can't be used.
        ModelError: The network can't be quantised, or the gate refuses the result.
    """
    manifest, data = source.manifest, source.data
    if manifest is None:
        manifest, data = _chosen(bundle.name, division, source, work)
    validation = Validation(
        lambda split: division.splits[split or "val"], "val", "test" if division.test is not None else None
    )
    order = Order(bundle, read_calibration_set(manifest, data), validation.measure, budget, METHODS)
    outcome = quantise(order, reporter.progress)
    shutil.rmtree(folder, ignore_errors=True)
    if not outcome.holds:
        return Quantised(outcome, None, None)
    reported = validation.report(bundle, outcome.best.bundle)
    metrics: dict[str, Any] = validation.metrics(outcome.best.bundle)
    write_quantised(outcome, folder, made_by=made_by, dataset=validation.described, metrics=metrics)
    return Quantised(outcome, folder, reported)


def _chosen(name: str, division: Division, source: CalibrationSource, work: Path) -> tuple[Path, Path]:
    """Write a manifest of training images that differ much; returns it and the folder its names are relative to."""
    paths = sorted(image.path.absolute() for image in division.train.images)
    paths = paths[:: max(1, len(paths) // _LOOKED_AT)]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    manifest = choose_calibration(
        paths,
        folder,
        read_image,
        name=name,
        source=source.source,
        licence=source.licence,
        count=CALIBRATION_IMAGES,
    )
    path = work / "calibration.toml"
    write_manifest(path, manifest)
    return path, folder
