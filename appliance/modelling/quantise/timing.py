"""Float against INT8 on this machine: both take turns, so that whatever else runs here slows both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.bundle import ModelBundle
from appliance.modelling.session import ModelSession

ROUNDS = 15
BATCHES = (1, 4)
THREADS = (1, 2)


@dataclass(frozen=True)
class Speed:
    """Milliseconds a frame, medians; wall clock first, then the processor time of all threads."""

    threads: int
    batch: int
    before_ms: float
    after_ms: float
    before_cpu_ms: float
    after_cpu_ms: float

    @property
    def factor(self) -> float:
        """Frames per second after, over before."""
        return self.before_ms / self.after_ms


def compare_speed(
    before: ModelBundle,
    after: ModelBundle,
    frames: Sequence[NDArray[np.uint8]],
    *,
    rounds: int = ROUNDS,
    seen: Callable[[int, int], None],
) -> list[Speed]:
    """Time two bundles of the same input, each with every batch size and number of threads.

    Args:
        frames: Single model inputs, as `ModelInput.frame_shape`; they are repeated to fill a batch.
        seen: Told how many of how many settings are done.
    Raises:
        ModelError: A network fails.
    """
    batches = (before.input.batch,) if before.input.batch else BATCHES
    threads = [count for count in THREADS if count <= (os.cpu_count() or 1)]
    settings = [(count, size) for count in threads for size in batches]
    speeds = []
    for done, (count, size) in enumerate(settings, start=1):
        batch = np.stack([frames[place % len(frames)] for place in range(size)])
        sessions = [
            ModelSession(bundle, provider="CPUExecutionProvider", threads=count, max_batch=size)
            for bundle in (before, after)
        ]
        speeds.append(_take_turns(sessions, batch, count, rounds))
        seen(done, len(settings))
    return speeds


def _take_turns(sessions: Sequence[ModelSession], batch: NDArray[np.uint8], threads: int, rounds: int) -> Speed:
    for session in sessions:
        session.run(batch)  # allocates
    took: list[list[tuple[float, float]]] = [[] for _ in sessions]
    for _ in range(rounds):
        for session, times in zip(sessions, took, strict=True):
            wall_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
            session.run(batch)
            times.append((time.monotonic_ns() - wall_ns, time.process_time_ns() - cpu_ns))
    wall, cpu = ([median(row[place] for row in times) / 1e6 / len(batch) for times in took] for place in (0, 1))
    return Speed(threads, len(batch), wall[0], wall[1], cpu[0], cpu[1])
