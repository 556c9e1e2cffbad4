"""Nonsense for every socket of a running appliance; what it makes of it shows in processes, memory and verdicts."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.testing.faults.campaign import close_books, judge
from appliance.testing.faults.evidence import Judgement
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.local_fuzz import fuzz_local_sockets
from appliance.testing.wire_fuzz import Target, fuzz

MOST_GROWTH_MB = 8.0
_PATIENCE_S = 3600.0
_ROUNDS = 2
_WARM_PICTURES, _WARM_ROWS = 5, 50

REFUSED = "nonsense is refused"
SERVED = "whoever asks properly is answered"
NO_RESTART = "no process ends"
FLAT = f"no process grows by {MOST_GROWTH_MB:.0f} MB, and again"


@dataclass(frozen=True)
class FuzzOutcome:
    """What nonsense did to the appliance.

    Attributes:
        sent: Messages by local socket, connections to ZeroMQ's endpoints (`zeromq`), and what came of those: requests
            that were granted (`accepted`), proper ones that got no answer (`unreachable`, `unanswered`).
        restarts: Of its processes meanwhile: 0, or one has crashed.
        growth_mb: Of each process's memory; the first tenth of the nonsense, which fills buffers, doesn't count. Who
            grew too much is sent as much again: a cache is full by then (SQLite's alone hold 2 MB a connection), and a
            backlog of pictures has its memory; a leak grows as before.
        judgement: Of all that, and of the verdicts and records meanwhile: anything accepted would show as a part that
            never was.
    """

    sent: dict[str, int]
    restarts: int
    growth_mb: dict[str, float]
    judgement: Judgement
    took_s: float


def fuzz_appliance(line: FaultedLine, count: int, *, seed: int) -> FuzzOutcome:
    """Send so many messages of nonsense while the line runs, then judge."""
    line.until(lambda: _is_warm(line), "every part of the appliance to have done its work")
    began = time.monotonic()
    first_pulse = line.train().last_before(time.monotonic_ns()) + 1
    restarts = sum(child.restarts for child in line.supervisor.children)
    sent = Counter(_while_running(line, lambda: _everywhere(line, count // 10, seed)))
    for again in range(_ROUNDS):
        before = {name: _memory_mb(line, name) for name in line.names}
        sent.update(_while_running(line, partial(_everywhere, line, count - count // 10, seed + 1 + again)))
        growth = {name: round(_memory_mb(line, name) - before[name], 2) for name in line.names}
        if max(growth.values()) < MOST_GROWTH_MB:
            break
    evidence = close_books(line, (), first_pulse)
    restarts = sum(child.restarts for child in line.supervisor.children) - restarts
    judgement = judge(line, evidence)
    _judge_nonsense(sent, restarts, growth, judgement)
    return FuzzOutcome(dict(sent), restarts, growth, judgement, took_s=time.monotonic() - began)


def _is_warm(line: FaultedLine) -> bool:
    """Whether rows were stored, some with pictures, and replayed.

    The recorder's first pictures and pages alone make it grow by 18 MB: how much of that came before the measuring
    began would be luck.
    """
    pictures = sum(row.get("image") is not None for row in line.mes.rows)
    return pictures >= _WARM_PICTURES and line.replayer.findings()[0] > _WARM_ROWS


def _judge_nonsense(
    sent: Mapping[str, int], restarts: int, growth_mb: Mapping[str, float], judgement: Judgement
) -> None:
    """Nothing crashed, nothing was accepted, nobody was refused service, and no memory was lost."""
    if sent["accepted"]:
        judgement.breach(REFUSED, f"{sent['accepted']} requests were granted")
    for name in ("unreachable", "unanswered"):
        if sent[name]:
            judgement.breach(SERVED, f"{sent[name]} {name}")
    if restarts:
        judgement.breach(NO_RESTART, f"{restarts} restarts")
    for name, grown_mb in growth_mb.items():
        if grown_mb >= MOST_GROWTH_MB:
            judgement.breach(FLAT, f"{name} grew by {grown_mb} MB")


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
