"""What inspection costs without camera and delivery: the model alone, and everything around it, per frame."""

import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.box.bench.frames import sample_frames
from appliance.box.bench.machine import machine
from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig, Recipe, load_recipe
from appliance.inspection.evidence import EvidenceChecker
from appliance.inspection.judge import judge, lowest_score
from appliance.messages import Trigger
from appliance.modelling import ModelBundle, Placement, decoder_for
from appliance.modelling.session import ModelSession
from appliance.modelling.signature import load_trusted


def bench_inspect(config: ApplianceConfig, repetitions: int = 30) -> dict[str, Any]:
    """Measure `session.run` at each batch size, then evidence checks, decoding and judging.

    Args:
        config: Gives model, recipe, threads, provider and the images of its first simulated camera or folder.
    Returns:
        JSON-ready: `batches[{size, ms{p50,p99}, frames_per_s}]`, `evidence_ms`, `decode_judge_ms` (medians a frame).
    """
    recipe = load_recipe(config.recipe)
    bundle = load_trusted(config, recipe.model)
    options = config.inspector
    session = ModelSession(
        bundle,
        provider=options.execution_provider,
        provider_options=options.provider_options,
        threads=options.intra_op_num_threads,
        max_batch=options.max_batch,
    )
    for _ in session.warm_up():
        pass
    frames = sample_frames(config, bundle.input)
    return {
        "machine": machine(),
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "execution_provider": session.provider,
        "intra_op_num_threads": session.threads,
        "batches": _batches(session, frames, repetitions),
        **_around_the_model(bundle, recipe, session, frames),
    }


def _batches(session: ModelSession, frames: NDArray[np.uint8], repetitions: int) -> list[dict[str, Any]]:
    """All sizes in turn in each repetition, so that a change of the machine's speed meets all alike."""
    took_ms: dict[int, list[float]] = {size: [] for size in range(1, session.max_batch + 1)}
    for repetition in range(repetitions):
        for size, values in took_ms.items():
            first = (repetition * size) % (len(frames) - size + 1)
            start_ns = time.monotonic_ns()
            session.run(frames[first : first + size])
            values.append((time.monotonic_ns() - start_ns) / NS_PER_MS)
    return [
        {
            "size": size,
            "ms": {"p50": round(median(values), 3), "p99": round(float(np.percentile(values, 99)), 3)},
            "frames_per_s": round(1000 * size / median(values), 1),
        }
        for size, values in took_ms.items()
    ]


def _around_the_model(
    bundle: ModelBundle, recipe: Recipe, session: ModelSession, frames: NDArray[np.uint8]
) -> dict[str, float]:
    checker, decoder = EvidenceChecker(recipe.evidence), decoder_for(bundle, session.output_shapes)
    placement = Placement(bundle.input.width, bundle.input.height)
    evidence_ms, judging_ms = [], []
    for number, frame in enumerate(frames):
        outputs = session.run(frame[np.newaxis])
        start_ns = time.monotonic_ns()
        checker.check(frame[0], "Mono8", Trigger(number + 1, start_ns, frame_id=number + 1))
        checked_ns = time.monotonic_ns()
        found = decoder.decode(
            outputs, [placement], score=lowest_score(recipe), nms_iou=bundle.thresholds.nms_iou, max_detections=100
        )
        judge(found[0], bundle.class_names, recipe, (0, 0, bundle.input.width, bundle.input.height))
        evidence_ms.append((checked_ns - start_ns) / NS_PER_MS)
        judging_ms.append((time.monotonic_ns() - checked_ns) / NS_PER_MS)
    return {"evidence_ms": round(median(evidence_ms), 3), "decode_judge_ms": round(median(judging_ms), 3)}
