"""From good pictures to an anomaly model: remember them, find the threshold by leaving some out, write the bundle."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from appliance.errors import ModelError
from appliance.modelling.anomaly.features import GRID, FeatureNetwork, feature_network
from appliance.modelling.anomaly.memory import remember
from appliance.modelling.anomaly.network import MAP_OUTPUT, anomaly_network, grid_network
from appliance.modelling.bundle import MODEL_FILE, ModelBundle, ModelInput
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.importer.foreign_session import ForeignSession
from appliance.modelling.pixels import to_pixel_format
from appliance.modelling.placement import fit

CLASS_NAME = "anomaly"
FEWEST_PICTURES = 8
_FOLDS = 4
_NORMAL_PER_MEDIAN_DEVIATION = 1.4826  # standard deviation of a normal distribution over its median deviation
_HEADROOM = 4.0
"""Scores reach 1 at about so many times the threshold: nothing that matters is cut off."""

Images = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class AnomalyPlan:
    """What to fit.

    Attributes:
        name: Of the new bundle.
        detector: Lends its first layers.
        width_px, height_px: Model input, multiples of 16.
        fit: How pictures are brought to it: "letterbox" or "stretch".
        pad_value: Grey beside a letterboxed picture.
        points: Size of the memory; its cost in time is proportional.
        position_weight: How much it matters where in the picture something is: 0 for parts that lie anywhere.
        false_reject_rate: Share of good parts that may be called NG; the threshold follows from it.
        command: Goes into the bundle.
    """

    name: str
    detector: ModelBundle
    width_px: int
    height_px: int
    fit: str = "letterbox"
    pad_value: int = 0
    points: int = 500
    position_weight: float = 10.0
    false_reject_rate: float = 0.01
    command: str = ""


@dataclass(frozen=True)
class Fitted:
    """The outcome.

    Attributes:
        bundle: Written, and read back.
        held_out_scores: Raw score of each good picture by a memory that never saw it.
        threshold: Raw score from which on a part is NG.
    """

    bundle: ModelBundle
    held_out_scores: tuple[float, ...]
    threshold: float


def fit_anomaly(plan: AnomalyPlan, good: Images, folder: Path, report: Callable[[str, float], None]) -> Fitted:
    """Fit on good pictures and write the bundle to `folder`, which must not exist.

    Args:
        good: (H, W) uint8 each, at least `FEWEST_PICTURES`, none with a defect.
        report: Told what is being done, and the share that is done.
    Raises:
        ModelError: Too few pictures, an impossible size, or a detector without features.
    """
    _check(plan, good)
    network = feature_network(plan.detector, plan.width_px, plan.height_px)
    features = _features(plan, network, good, report)
    held_out = _held_out_scores(plan, network, features, good, report)
    threshold = _threshold(held_out, plan.false_reject_rate)
    report("memory of all good pictures", 0.95)
    memory = remember(features, plan.points, plan.position_weight)
    bundle = _write(plan, anomaly_network(network, memory, *_grid(plan)), threshold, len(good), folder)
    report("done", 1.0)
    return Fitted(bundle, held_out, threshold)


def _check(plan: AnomalyPlan, good: Images) -> None:
    if len(good) < FEWEST_PICTURES:
        raise ModelError(
            f"anomaly model {plan.name}: expected at least {FEWEST_PICTURES} good pictures, got {len(good)}"
        )
    if plan.width_px % 16 or plan.height_px % 16 or min(plan.width_px, plan.height_px) < 64:
        raise ModelError(
            f"anomaly model {plan.name}: expected an input of multiples of 16 px, 64 at least, got "
            f"{plan.width_px}x{plan.height_px}"
        )


def _grid(plan: AnomalyPlan) -> tuple[int, int]:
    return plan.height_px // GRID, plan.width_px // GRID


def _features(
    plan: AnomalyPlan, network: FeatureNetwork, good: Images, report: Callable[[str, float], None]
) -> NDArray[np.float32]:
    """Run the feature network on each picture: (N, C, h, w) float32."""
    session = ForeignSession(grid_network(network, *_grid(plan)).SerializeToString())
    model_input = ModelInput.model_validate(_input(plan))
    found = []
    for number, image in enumerate(good):
        fitted, _ = fit(to_pixel_format(image, "Mono8", model_input.pixel_format), model_input)
        found.append(session.run({model_input.name: fitted.reshape(1, *model_input.frame_shape)})[0])
        report("features", 0.3 * (number + 1) / len(good))
    return np.concatenate(found)


def _held_out_scores(
    plan: AnomalyPlan,
    network: FeatureNetwork,
    features: NDArray[np.float32],
    good: Images,
    report: Callable[[str, float], None],
) -> tuple[float, ...]:
    """Score each good picture by the memory of the others, a quarter of them at a time."""
    scores: dict[int, float] = {}
    for fold in range(_FOLDS):
        left_out = list(range(fold, len(good), _FOLDS))
        others = np.delete(features, left_out, axis=0)
        memory = remember(others, plan.points, plan.position_weight)
        model = anomaly_network(network, memory, *_grid(plan))
        detector = Detector(_in_memory(plan, model))
        for index in left_out:
            (found,) = detector.detect([good[index]], score=1e30)
            assert found.image_score is not None, "the family gives one"
            scores[index] = found.image_score
        report("scores of pictures left out", 0.3 + 0.65 * (fold + 1) / _FOLDS)
    return tuple(scores[index] for index in range(len(good)))


def _threshold(scores: Sequence[float], false_reject_rate: float) -> float:
    """Take the scores' logarithms as normal: distances are positive, and a few pictures must tell of rare ones.

    Middle and spread are the median and the median deviation: an odd picture among the good ones must not blind the
    model to everything less odd.
    """
    logs = np.log(np.maximum(scores, 1e-6))
    middle = float(np.median(logs))
    spread = _NORMAL_PER_MEDIAN_DEVIATION * float(np.median(np.abs(logs - middle)))
    return math.exp(NormalDist(middle, max(spread, 1e-3)).inv_cdf(1 - false_reject_rate))


def _decode(threshold: float) -> dict[str, Any]:
    return {
        "map_axes": 4,
        "map_scale": {"threshold": threshold, "minimum": 0.0, "maximum": 2 * (_HEADROOM - 1) * threshold},
    }


def _in_memory(plan: AnomalyPlan, model: onnx.ModelProto) -> ModelBundle:
    """Make a bundle that is no file, for raw scores."""
    content = model.SerializeToString(deterministic=True)
    files = {MODEL_FILE: hashlib.sha256(content).hexdigest()}
    contract = _contract(plan, model, {"map_axes": 4}, 0) | {"files": files}
    return ModelBundle.model_validate(contract).with_contents({MODEL_FILE: content})


def _write(plan: AnomalyPlan, model: onnx.ModelProto, threshold: float, count: int, folder: Path) -> ModelBundle:
    if folder.exists():
        raise ModelError(f"model {plan.name}: {folder} exists; choose another name, or remove it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".fitting-{plan.name}-", dir=folder.parent))
    try:
        work.chmod(0o755)  # other users of the machine run the appliance
        (work / MODEL_FILE).write_bytes(model.SerializeToString(deterministic=True))
        bundle = write_bundle(work, _contract(plan, model, _decode(threshold), count))
        work.rename(folder)
        return bundle
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _contract(plan: AnomalyPlan, model: onnx.ModelProto, decode: Mapping[str, Any], count: int) -> dict[str, Any]:
    lender = plan.detector
    return {
        "schema_version": 2,
        "name": plan.name,
        "task": "anomaly",
        "family": "anomaly_map",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "opset": next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")),
        "input": _input(plan),
        "outputs": [{"name": MAP_OUTPUT, "shape": ["N", 1, *_grid(plan)], "dtype": "float32"}],
        "decode": dict(decode),
        "classes": {"names": [CLASS_NAME]},
        "thresholds": {
            "score": 0.5,
            "nms_iou": 0.5,
            "score_method": f"{plan.false_reject_rate:g} of good parts may exceed it: by pictures left out in turn",
        },
        "source": {
            "file": f"{lender.name}/{MODEL_FILE}",
            "sha256": lender.sha256,
            "bytes": len(lender.onnx_bytes),
            "producer": f"features of {lender.name}, memory of {count} good pictures",
            "preprocessing": f"as {lender.name}",
            "made_by": plan.command or "appliance.modelling.anomaly",
        },
    }


def _input(plan: AnomalyPlan) -> dict[str, Any]:
    lender = plan.detector
    return {
        "name": lender.input.name,
        "layout": lender.input.layout,
        "dtype": "uint8",
        "pixel_format": lender.input.pixel_format,
        "height": plan.height_px,
        "width": plan.width_px,
        "fit": plan.fit,
        "resize": "area",
        "pad_value": plan.pad_value,
    }
