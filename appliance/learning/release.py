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
from appliance.learning import network
from appliance.learning.augment import orient
from appliance.learning.datasets.deeppcb import CLASS_NAMES, LICENCE, SIZE_PX, SOURCE, SPLIT, board_group
from appliance.learning.evaluation import AtScore, Evaluation, assess
from appliance.learning.evaluation.detecting import BATCH, LOWEST_SCORE
from appliance.learning.evaluation.threshold import WhatIf
from appliance.learning.exporter import INPUT_NAME, OPSET, OUTPUT_NAME, export, output_shape
from appliance.learning.part import Part
from appliance.learning.trainer import NMS_IOU, Plan, Progress, Run, torch_run
from appliance.modelling import Detections, ModelBundle
from appliance.modelling.bundle import GOLDEN_FILE, MODEL_FILE
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.session import ModelSession

SCORE_METHOD = "on the validation parts in their eight orientations: least sum of escape rate and false-reject rate"
PARITY_PX = 0.05
PARITY_SCORE = 1e-3


@dataclass(frozen=True)
class TrainedModel:
    """What training hands over."""

    detector: network.Detector
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
    detector = Detector(write_bundle(folder, contract), threads=1, max_batch=BATCH)
    check_parity(detector.session, torch_run(model.detector), val[:2])
    views = [orient(part, view) for part in val for view in range(8)]
    chosen = WhatIf.of(views, detect(detector, views)).choose()
    assert chosen is not None  # without limits there is always a best one
    contract["thresholds"]["score"] = chosen.score
    measured = {name: measure(detector, parts, chosen.score) for name, parts in (("val", val), ("test", test))}
    contract["metrics"] = {name: metrics(evaluation) for name, evaluation in measured.items()}
    for name, figures in contract["metrics"].items():
        report(f"{name}: {summary(figures)}")
    places = golden_places(test)
    golden = [measured["test"].judged[place].defects for place in places]
    _write_golden(folder, [test[place] for place in places], golden)
    return write_bundle(folder, contract)


def detect(detector: Detector, parts: Sequence[Part]) -> list[Detections]:
    """Run the bundle over parts, down to the lowest score."""
    return detector.detect([part.pixels for part in parts], score=LOWEST_SCORE)


def measure(detector: Detector, parts: Sequence[Part], score: float) -> Evaluation:
    """Evaluate the bundle on parts."""
    sizes = [(SIZE_PX, SIZE_PX)] * len(parts)
    return assess(parts, detect(detector, parts), CLASS_NAMES, AtScore(score), sizes=sizes, resamples=0)


def check_parity(session: ModelSession, reference: Run, parts: Sequence[Part]) -> None:
    """Make sure that ONNX Runtime computes what PyTorch does.

    Raises:
        ModelError: A box or a score differs by more than rounding explains.
    """
    images = np.stack([part.pixels[None] for part in parts])
    apart = np.abs(session.run(images)[0] - reference(images))
    box_px, score = float(apart[:, :4].max()), float(apart[:, 4:].max())
    if not (box_px <= PARITY_PX and score <= PARITY_SCORE):
        raise ModelError(
            f"ONNX export: expected boxes within {PARITY_PX} px and scores within {PARITY_SCORE} of PyTorch's, "
            f"got {box_px:.4f} px and {score:.5f}"
        )


def metrics(evaluation: Evaluation) -> dict[str, Any]:
    """Return one split's `[metrics]` table."""
    figures = evaluation.figures()
    rates = ("escapes", "ng_parts", "escape_rate", "false_rejects", "ok_parts", "false_reject_rate")
    return {
        "groups": sorted({board_group(image.path) for image in evaluation.images}),
        **{name: round(figures[name], 4) for name in ("map50", "map50_95", *rates, "missed_defects", "defects")},
        "ap50": {name: round(one["ap50"], 4) for name, one in figures["per_class"].items() if one["ap50"] is not None},
    }


def summary(figures: dict[str, Any]) -> str:
    """Say a `[metrics]` table in one line, counts beside rates."""
    return (
        f"mAP@0.5 {figures['map50']:.4f}, escapes {figures['escapes']}/{figures['ng_parts']} NG parts, "
        f"false rejects {figures['false_rejects']}/{figures['ok_parts']} OK parts, "
        f"missed defects {figures['missed_defects']}/{figures['defects']}"
    )


def golden_places(test: Sequence[Part]) -> list[int]:
    """Choose by a fixed rule: the first NG part of each test group and the first OK part."""
    groups = [None if part.is_ok else board_group(part.path) for part in test]
    return [groups.index(group) for group in (*SPLIT["test"], None)]


def _write_golden(folder: Path, parts: Sequence[Part], found: Sequence[Detections]) -> None:
    cases = []
    for part, one in zip(parts, found, strict=True):
        file = f"golden/{part.path.stem}.png"
        (folder / file).parent.mkdir(exist_ok=True)
        if not cv2.imwrite(str(folder / file), part.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
            raise ModelError(f"golden image {folder / file} can't be written")
        detections = [
            {
                "class_name": CLASS_NAMES[class_id],
                "score": round(float(score), 4),
                "box_px": [round(float(x), 2) for x in box],
            }
            for box, score, class_id in zip(one.boxes_in_image, one.scores, one.class_ids, strict=True)
        ]
        cases.append({"file": file, "verdict": "NG" if detections else "OK", "detections": detections})
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
