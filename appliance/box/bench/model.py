"""A model on every execution provider that this machine has, at several batch sizes and numbers of threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.box.bench.machine import machine
from appliance.box.bench.percentiles import p50_p99
from appliance.clock import NS_PER_MS
from appliance.errors import ModelError
from appliance.modelling import ModelBundle
from appliance.modelling.session import ModelSession, runtime_version

_DIFFERENT_FRAMES = 4


@dataclass
class _Series:
    """One session at one batch size, and what its runs took."""

    session: ModelSession
    batch: NDArray[np.uint8]
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def run(self) -> None:
        cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
        self.session.run(self.batch)
        self.wall_ms.append((time.monotonic_ns() - wall_ns) / NS_PER_MS)
        self.cpu_ms.append((time.process_time_ns() - cpu_ns) / NS_PER_MS)

    def figures(self) -> dict[str, Any]:
        size = len(self.batch)
        return {
            "provider": self.session.provider,
            "threads": self.session.threads,
            "batch": size,
            "ms_per_frame": p50_p99(took / size for took in self.wall_ms),
            "cpu_ms_per_frame": round(median(self.cpu_ms) / size, 3),
            "frames_per_s": round(1000 * size / median(self.wall_ms), 1),
        }


def bench_model(
    bundle: ModelBundle,
    *,
    providers: Sequence[str],
    batches: Sequence[int],
    threads: Sequence[int],
    rounds: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Measure; every combination runs once in each round, so that a change of the machine's speed meets all alike.

    Args:
        providers: Names, long or short. One that can't run the model becomes a row with its error.
        batches: Frames of a run.
        threads: Of ONNX Runtime.
        rounds: Runs of each combination that count, after the warm-up.
        progress: Called after each round with (rounds done, rounds).
    Returns:
        JSON-ready: `machine`, `model`, `onnxruntime`, `rounds`, `rows[{provider, threads, batch,
        ms_per_frame{p50,p99}, cpu_ms_per_frame, frames_per_s}]` and `failed[{provider, error}]`.
    """
    series: list[_Series] = []
    failed = []
    for provider in providers:
        try:
            series += _prepared(bundle, provider, batches, threads)
        except ModelError as error:
            failed.append({"provider": provider, "error": str(error)})
    for done in range(rounds):
        for one in series:
            one.run()
        progress(done + 1, rounds)
    return {
        "machine": machine(),
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "onnxruntime": runtime_version(),
        "rounds": rounds,
        "rows": [one.figures() for one in series],
        "failed": failed,
    }


def _prepared(bundle: ModelBundle, provider: str, batches: Sequence[int], threads: Sequence[int]) -> Iterator[_Series]:
    noise = np.random.default_rng(0).integers(64, 192, (_DIFFERENT_FRAMES, *bundle.input.frame_shape), np.uint8)
    for count in threads:
        session = ModelSession(bundle, provider=provider, threads=count, max_batch=max(batches))
        for size in batches:
            repeated = -(-size // _DIFFERENT_FRAMES)
            batch = np.ascontiguousarray(np.concatenate([noise] * repeated)[:size])
            session.run(batch)
            yield _Series(session, batch)
