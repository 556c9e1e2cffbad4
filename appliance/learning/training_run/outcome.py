"""What a training child leaves in its work folder: network, curve, and a word on how it went."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from appliance.errors import TrainingFailed

PLAN_FILE = "plan.json"
OUTCOME_FILE = "outcome.json"
CURVE_FILE = "curve.jsonl"
NETWORK_FILE = "trained.onnx"


@dataclass(frozen=True)
class CurvePoint:
    """One epoch; `val_map50` is None where it wasn't measured."""

    epoch: int
    minutes: float
    loss: float
    val_map50: float | None


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
        plan: The one that the child worked by.
        best_epoch: Whose weights were exported; 0 where that isn't one epoch's.
        family: Decode family of the exported network; None: the importer finds out.
    """

    plan: Mapping[str, Any]
    network: Path
    curve: tuple[CurvePoint, ...]
    minutes: float
    epochs: int
    best_epoch: int
    parameters: int
    family: str | None
    machine: str

    @classmethod
    def read(cls, work: Path) -> Self:
        """Read what the child left.

        Raises:
            TrainingFailed: Something is missing or can't be understood.
        """
        path, network = work / OUTCOME_FILE, work / NETWORK_FILE
        for file in (path, network):
            if not file.is_file():
                raise TrainingFailed(f"training ended without {file.name} in {work}; see training.log there")
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                plan=dict(told["plan"]),
                network=network,
                curve=read_curve(work),
                minutes=float(told["minutes"]),
                epochs=int(told["epochs"]),
                best_epoch=int(told.get("best_epoch") or 0),
                parameters=int(told["parameters"]),
                family=told.get("family"),
                machine=str(told["machine"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingFailed(f"{path}: not an outcome of a training: {type(error).__name__} {error}") from error


def read_curve(work: Path) -> tuple[CurvePoint, ...]:
    """Read the curve, in the order of epochs; of an epoch that a resumed run repeated, the last line counts."""
    path = work / CURVE_FILE
    points: dict[int, CurvePoint] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            value = row.get("val_map50")
            point = CurvePoint(
                int(row["epoch"]), float(row["minutes"]), float(row["loss"]), None if value is None else float(value)
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # half a line: the child was killed while it wrote
        if math.isfinite(point.loss):
            points[point.epoch] = point
    return tuple(points[epoch] for epoch in sorted(points))
