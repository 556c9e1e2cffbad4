"""Write what quantisation found as a bundle that says how it was made and what it is worth."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.errors import ModelError
from appliance.modelling.bundle import MODEL_FILE, ModelBundle
from appliance.modelling.bundle_files import load_bundle
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.image_file import decode_image
from appliance.modelling.importer.golden import GoldenImage, write_golden
from appliance.modelling.quantise.figures import Figures
from appliance.modelling.quantise.preparation import Prepared
from appliance.modelling.quantise.quantiser import Outcome
from appliance.modelling.quantise.trial import contract_of

GOLDEN_IMAGES = 2
"""Taken from the calibration set where the float bundle has no golden images."""


def write_quantised(
    outcome: Outcome, folder: Path, *, made_by: str, dataset: Mapping[str, Any], metrics: Mapping[str, Any]
) -> ModelBundle:
    """Write the INT8 bundle; golden images are the float model's, with what the INT8 model finds in them.

    Args:
        folder: Must not exist.
        made_by: The command.
        dataset: Describes the validation images.
        metrics: The `[metrics]` tables of the INT8 model.
    Raises:
        ModelError: The folder exists, or the result isn't a bundle that the appliance accepts.
    """
    if folder.exists():
        raise ModelError(f"model bundle {folder}: is there already; choose another --as, or remove it")
    contract = {
        **contract_of(outcome.order.bundle),
        "name": folder.name,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "opset": _opset(outcome.prepared),
        "source": _source(outcome, made_by),
        "quantisation": {**_described(outcome), "validation": dict(dataset)},
        "metrics": dict(metrics),
    }
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        (part / MODEL_FILE).write_bytes(outcome.best.bundle.onnx_bytes)
        write_golden(part, outcome.best.bundle, _golden(outcome))
        _carry_over(outcome.order.bundle, part)
        write_bundle(part, contract)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return load_bundle(folder)


def _carry_over(bundle: ModelBundle, folder: Path) -> None:
    """Copy what else the float bundle says: its training pictures (profile.json) are the INT8 model's too."""
    for name, content in bundle.contents.items():
        if name != MODEL_FILE and not name.startswith("golden/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def _opset(prepared: Prepared) -> int:
    return int(max(one.version for one in prepared.graph.model.opset_import if one.domain in ("", "ai.onnx")))


def _source(outcome: Outcome, made_by: str) -> dict[str, Any]:
    bundle = outcome.order.bundle
    earlier = f"{bundle.source.preprocessing}; " if bundle.source is not None else ""
    rewritten = "; ".join(outcome.prepared.done)
    return {
        "file": f"{bundle.name}/{MODEL_FILE}",
        "sha256": bundle.sha256,
        "bytes": len(bundle.onnx_bytes),
        "producer": bundle.source.producer if bundle.source is not None else "appliance.learning",
        "preprocessing": f"{earlier}quantised to INT8{'; ' if rewritten else ''}{rewritten}",
        "made_by": made_by,
    }


def _described(outcome: Outcome) -> dict[str, Any]:
    order, best, regions = outcome.order, outcome.best, outcome.prepared.regions
    manifest = order.calibration.manifest
    before_bytes, after_bytes = outcome.size_bytes
    return {
        "method": best.method,
        "weights": f"int8, symmetric, per channel{', 7 bits' if order.has_seven_bit_weights else ''}",
        "activations": "uint8",
        "reads_uint8": best.reads_uint8,
        "carries_between_convolutions": best.carries,
        "weighted_nodes": len(regions.weighted),
        "nodes_in_float": list(best.in_float),
        "rewritten": list(outcome.prepared.done),
        "before_bytes": before_bytes,
        "after_bytes": after_bytes,
        "calibration": {
            "name": manifest.name,
            "version": manifest.version,
            "sha256": order.calibration.sha256,
            "images": len(manifest.files),
        },
        "budget": {name: value for name, value in asdict(order.budget).items() if value is not None},
        "before": _rounded(outcome.before),
        "after": _rounded(best.figures),
        "speed": [{name: round(value, 2) for name, value in asdict(speed).items()} for speed in outcome.speeds],
        "tried": [
            {
                "method": trial.method,
                "in_float": len(trial.in_float),
                "carries": trial.carries,
                **_rounded(trial.figures),
            }
            for trial in outcome.trials
        ],
    }


def _rounded(figures: Figures) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in asdict(figures).items()}


def _golden(outcome: Outcome) -> list[GoldenImage]:
    """Return the float model's golden images; where it has none, the first ones of the calibration set."""
    bundle, calibration = outcome.order.bundle, outcome.order.calibration
    kept = [(Path(case.file).name, decode_image(bundle.contents[case.file])) for case in bundle.golden_cases()]
    images = [(re.sub(r"^\d\d-", "", name), decoded) for name, decoded in kept if decoded is not None] or list(
        zip(calibration.manifest.files, calibration.images[:GOLDEN_IMAGES], strict=False)
    )
    return [GoldenImage(Path(name).name, *decoded) for name, decoded in images]
