"""From a trained model to a bundle: export, choose the score, measure, add golden parts, verify.

Every figure is measured through the bundle as the appliance runs it: its ONNX file, its session, its
decoder.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from appliance.errors import ModelError
from appliance.learning.augment import orient
from appliance.learning.deeppcb import CLASS_NAMES, LICENCE, SIZE_PX, SOURCE, SPLIT, Part
from appliance.learning.evaluate import NMS_IOU, Run, choose_score, count, detect
from appliance.learning.exporter import INPUT_NAME, OPSET, OUTPUT_NAME, export, output_shape
from appliance.learning.network import Detector
from appliance.learning.precision import average_precision
from appliance.learning.trainer import Plan, Progress, torch_run
from appliance.modelling import Detections, ModelBundle
from appliance.modelling.bundle import GOLDEN_FILE, MODEL_FILE
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.session import ModelSession

SCORE_METHOD = "on the validation parts in their eight orientations: least sum of escape rate and false-reject rate"
PARITY_PX = 0.05
PARITY_SCORE = 1e-3


@dataclass(frozen=True)
class TrainedModel:
    """What training hands over."""

    detector: Detector
    plan: Plan
    progress: Progress


def release(
    model: TrainedModel, val: Sequence[Part], test: Sequence[Part], folder: Path, report: Callable[[str], None]
) -> ModelBundle:
    """Write the bundle into `folder`, replacing what is there.

    Raises:
        ModelError: ONNX and PyTorch disagree, or the bundle isn't accepted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    export(model.detector, folder / MODEL_FILE)
    contract = _contract(folder.name, model)
    run = session_run(write_bundle(folder, contract))
    check_parity(run, torch_run(model.detector), val[:2])
    views = [orient(part, view) for part in val for view in range(8)]
    score = choose_score(views, detect(run, views))
    contract["thresholds"]["score"] = score
    found = {"val": detect(run, val), "test": detect(run, test)}
    parts = {"val": val, "test": test}
    contract["metrics"] = {name: measure(parts[name], found[name], score) for name in parts}
    for name, figures in contract["metrics"].items():
        report(f"{name}: {summary(figures)}")
    golden = golden_parts(test)
    _write_golden(folder, golden, [found["test"][test.index(part)] for part in golden], score)
    return write_bundle(folder, contract)


def session_run(bundle: ModelBundle) -> Run:
    """Open the bundle as the appliance does, on the CPU."""
    session = ModelSession(bundle, provider="CPUExecutionProvider", threads=1, max_batch=8)
    return lambda images: session.run(np.ascontiguousarray(images))[0]


def check_parity(run: Run, reference: Run, parts: Sequence[Part]) -> None:
    """Make sure that ONNX Runtime computes what PyTorch does.

    Raises:
        ModelError: A box or a score differs by more than rounding explains.
    """
    images = np.stack([part.pixels[None] for part in parts])
    apart = np.abs(run(images) - reference(images))
    box_px, score = float(apart[:, :4].max()), float(apart[:, 4:].max())
    if not (box_px <= PARITY_PX and score <= PARITY_SCORE):
        raise ModelError(
            f"ONNX export: expected boxes within {PARITY_PX} px and scores within {PARITY_SCORE} of PyTorch's, "
            f"got {box_px:.4f} px and {score:.5f}"
        )


def measure(parts: Sequence[Part], found: Sequence[Detections], score: float) -> dict[str, Any]:
    """Return one split's `[metrics]` table."""
    precision, counts = average_precision(parts, found), count(parts, found, score)
    return {
        "groups": sorted({part.group for part in parts}),
        "map50": round(precision["map50"], 4),
        "map50_95": round(precision["map50_95"], 4),
        "escapes": counts.escapes,
        "ng_parts": counts.ng_parts,
        "escape_rate": round(counts.escape_rate, 4),
        "false_rejects": counts.false_rejects,
        "ok_parts": counts.ok_parts,
        "false_reject_rate": round(counts.false_reject_rate, 4),
        "missed_defects": counts.missed_defects,
        "defects": counts.defects,
        "ap50": {name: round(precision[f"ap50_{name}"], 4) for name in CLASS_NAMES},
    }


def summary(figures: dict[str, Any]) -> str:
    """Say a `[metrics]` table in one line, counts beside rates."""
    return (
        f"mAP@0.5 {figures['map50']:.4f}, escapes {figures['escapes']}/{figures['ng_parts']} NG parts, "
        f"false rejects {figures['false_rejects']}/{figures['ok_parts']} OK parts, "
        f"missed defects {figures['missed_defects']}/{figures['defects']}"
    )


def golden_parts(test: Sequence[Part]) -> list[Part]:
    """Choose by a fixed rule: the first NG part of each test group and the first OK part."""
    first_ng = [next(part for part in test if part.group == group and not part.is_ok) for group in SPLIT["test"]]
    return [*first_ng, next(part for part in test if part.is_ok)]


def _write_golden(folder: Path, parts: Sequence[Part], found: Sequence[Detections], score: float) -> None:
    cases = []
    for part, one in zip(parts, found, strict=True):
        file = f"golden/{Path(part.name).stem}.png"
        (folder / file).parent.mkdir(exist_ok=True)
        if not cv2.imwrite(str(folder / file), part.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
            raise ModelError(f"golden image {folder / file} can't be written")
        kept = [index for index, value in enumerate(one.scores) if value >= score]
        detections = [
            {
                "class_name": CLASS_NAMES[one.class_ids[index]],
                "score": round(float(one.scores[index]), 4),
                "box_px": [round(float(x), 2) for x in one.boxes_in_image[index]],
            }
            for index in kept
        ]
        cases.append({"file": file, "verdict": "NG" if kept else "OK", "detections": detections})
    (folder / GOLDEN_FILE).write_text(json.dumps({"cases": cases}, indent=1) + "\n", encoding="utf-8")


def _contract(name: str, model: TrainedModel) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "name": name,
        "task": "detect",
        "family": "yolov8",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "opset": OPSET,
        "input": {
            "name": INPUT_NAME,
            "layout": "NCHW",
            "dtype": "uint8",
            "pixel_format": "Mono8",
            "height": SIZE_PX,
            "width": SIZE_PX,
            "fit": "letterbox",
            "pad_value": 255,
        },
        "outputs": [{"name": OUTPUT_NAME, "shape": list(output_shape(len(CLASS_NAMES))), "dtype": "float32"}],
        "classes": {"names": list(CLASS_NAMES)},
        "thresholds": {"score": 0.5, "nms_iou": NMS_IOU, "score_method": SCORE_METHOD},
        "training": {
            "data": SOURCE,
            "licence": LICENCE,
            "groups": {split: list(groups) for split, groups in SPLIT.items()},
            "epochs": model.plan.epochs,
            "seed": model.plan.seed,
            "minutes": round(model.progress.minutes, 1),
            "machine": _machine(model.plan.threads),
            "command": f"python -m appliance.learning --data DATA --out models/{name}",
        },
        "metrics": {},
    }


def _machine(threads: int) -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{model}, {platform.machine()}, {threads} threads, no GPU"
