"""Nonsense for every socket of a running appliance; what it makes of it shows in processes, memory and verdicts."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.testing.faults.campaign import close_books, judge
from appliance.testing.faults.evidence import Judgement
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.local_fuzz import fuzz_local_sockets
from appliance.testing.wire_fuzz import Target, fuzz

MOST_GROWTH_MB = 8.0
_PATIENCE_S = 3600.0


@dataclass(frozen=True)
class FuzzOutcome:
    """What nonsense did to the appliance.

    Attributes:
        sent: Messages by local socket, connections to ZeroMQ's endpoints (`zeromq`), and what came of those: requests
            that were granted (`accepted`), proper ones that got no answer (`unreachable`, `unanswered`).
        restarts: Of its processes meanwhile: 0, or one has crashed.
        growth_mb: Of each process's memory; the first tenth of the nonsense, which fills buffers, doesn't count.
        judgement: Of the verdicts and records meanwhile: anything accepted would show as a part that never was.
    """

    sent: dict[str, int]
    restarts: int
    growth_mb: dict[str, float]
    judgement: Judgement
    took_s: float

    @property
    def is_kept(self) -> bool:
        """Whether nothing crashed, nothing was accepted, nobody was refused service, and no memory was lost."""
        answers = sum(self.sent[name] for name in ("accepted", "unreachable", "unanswered"))
        is_flat = max(self.growth_mb.values()) < MOST_GROWTH_MB
        return not answers and not self.restarts and is_flat and not self.judgement.broken


def fuzz_appliance(line: FaultedLine, count: int, *, seed: int) -> FuzzOutcome:
    """Send so many messages of nonsense while the line runs, then judge."""
    began = time.monotonic()
    first_pulse = line.train().last_before(time.monotonic_ns()) + 1
    restarts = sum(child.restarts for child in line.supervisor.children)
    sent = Counter(_while_running(line, lambda: _everywhere(line, count // 10, seed)))
    before = {name: _memory_mb(line, name) for name in line.names}
    sent.update(_while_running(line, lambda: _everywhere(line, count - count // 10, seed + 1)))
    growth = {name: round(_memory_mb(line, name) - before[name], 2) for name in line.names}
    evidence = close_books(line, (), first_pulse)
    return FuzzOutcome(
        dict(sent),
        restarts=sum(child.restarts for child in line.supervisor.children) - restarts,
        growth_mb=growth,
        judgement=judge(line, evidence),
        took_s=time.monotonic() - began,
    )


def _everywhere(line: FaultedLine, count: int, seed: int) -> dict[str, int]:
    """A third goes to the runtime directory's sockets, the rest to the ZeroMQ endpoints."""
    delivery, recorder = line.config.delivery, line.config.recorder
    targets = [
        Target(delivery.verdict_endpoint, "publish"),
        Target(delivery.control_endpoint, "control"),
        Target(recorder.result_endpoint, "publish"),
        Target(recorder.replay_endpoint, "replay"),
    ]
    sent = fuzz_local_sockets(line.config.runtime_dir, count // 3, seed=seed)
    report = fuzz(targets, count - count // 3, seed)
    answers = {"accepted": report.accepted, "unreachable": report.unreachable, "unanswered": report.unanswered}
    return {**sent, "zeromq": sum(report.cases.values()), **answers}


def _while_running(line: FaultedLine, work: Callable[[], dict[str, int]]) -> dict[str, int]:
    """Do something in a thread while the line goes on."""
    results: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: results.append(work()), name="fuzz")
    thread.start()
    try:
        line.until(lambda: not thread.is_alive(), "the nonsense to end", _PATIENCE_S)
    finally:
        thread.join()
    return results[0]


def _memory_mb(line: FaultedLine, name: str) -> float:
    pages = int(Path(f"/proc/{line.pid(name)}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6
