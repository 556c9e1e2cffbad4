"""`appliance run`: the whole appliance on a desk, followed on its own verdict lane, with a summary at the end."""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from appliance.box.process_table import process_table
from appliance.box.run_state import RunState, ShownVerdict
from appliance.box.status import appliance_status
from appliance.box.supervisor import Supervisor
from appliance.box.truth import Scoreboard, load_truth
from appliance.config import ApplianceConfig
from appliance.errors import ApplianceError, JournalError
from appliance.records.reader import JournalReader
from appliance.tally import TallyCounts, count
from appliance.wire.sockets import box_keys_for
from appliance.wire.verdict_lane import VerdictSubscriber

_LOOP_S = 0.02
_STATUS_PERIOD_S = 1.0
_START_ALLOWANCE_S = 10.0
"""A run's duration counts from the moment all processes are up, or from this long after the start."""


class RunView(Protocol):
    """What a person or a script sees of a run; every method is called by the run's one thread."""

    def show_verdict(self, verdict: ShownVerdict) -> None:
        """A verdict came."""

    def show_line(self, process: str, line: str) -> None:
        """A process printed a line."""

    def refresh(self, state: RunState, supervisor: Supervisor) -> None:
        """Called on each turn of the loop, many times a second."""


@dataclass(frozen=True)
class RunLimits:
    """When a run ends by itself; None: never."""

    verdicts: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class RunSummary:
    """What happened in one run.

    Attributes:
        counts: By camera, from the tally files: what was announced and decided during this run.
        received: Verdicts that arrived here; what had no listener, or no time left to be sent, is missing.
        status: The last status document before the stop; None when the run was too short for one.
        restarts: By process.
        results: Rows that the journal gained.
        config_path: As the run was given it.
    """

    counts: dict[str, TallyCounts]
    received: int
    latency_ms: dict[str, float]
    scoreboard: Scoreboard | None
    status: dict[str, Any] | None
    restarts: dict[str, int]
    results: int
    config_path: Path

    @property
    def invariant_holds(self) -> bool:
        """Whether every announced trigger has exactly one outcome, and none is left open."""
        return all(counts.invariant_holds and counts.open == 0 for counts in self.counts.values())


def run_on_desk(
    config: ApplianceConfig, config_path: Path, view: RunView, limits: RunLimits, options: tuple[str, ...] = ()
) -> RunSummary:
    """Run until a limit is reached or a signal asks for the end; then stop in order.

    Args:
        options: For the processes' command lines, e.g. "--verbose".
    Raises:
        ConfigError: A truth file beside the replayed images is broken.
        StageFailed: A process can't be started; has that process's own exit code.
    """
    state = RunState(load_truth(config))
    before, rows_before = _counts(config), _journal_head(config)
    endpoint = config.delivery.verdict_endpoint
    keys = box_keys_for(endpoint, config.effective_keys_dir)
    table = process_table(config, config_path, os.getpid(), options)
    with (
        _stop_signals() as stop_asked,
        VerdictSubscriber(endpoint, keys=keys) as lane,
        Supervisor(
            table, config.runtime_dir, config_path=config_path, environment=os.environ, show=view.show_line
        ) as supervisor,
    ):
        supervisor.start()
        _DeskRun(config, supervisor, lane, state, view, limits).follow(stop_asked)
        restarts = {child.spec.name: child.restarts for child in supervisor.children}
    after = _counts(config)
    return RunSummary(
        counts={camera: _since(before[camera], counts) for camera, counts in after.items()},
        received=state.received,
        latency_ms=state.latency_ms.summary(),
        scoreboard=state.scoreboard if state.has_truth else None,
        status=state.status,
        restarts=restarts,
        results=_journal_head(config) - rows_before,
        config_path=config_path,
    )


@dataclass
class _DeskRun:
    """The loop and its own times: when it started, when counting began, when the status was last read."""

    config: ApplianceConfig
    supervisor: Supervisor
    lane: VerdictSubscriber
    state: RunState
    view: RunView
    limits: RunLimits
    started_at: float = field(default_factory=time.monotonic)
    counting_since: float | None = None
    status_at: float = 0.0

    def follow(self, stop_asked: list[int]) -> None:
        """Loop until every process has ended."""
        while not self.supervisor.has_ended:
            self.supervisor.step()
            self._take_verdicts()
            if not self.supervisor.is_stopping:
                self._keep_time()
            self.view.refresh(self.state, self.supervisor)
            if stop_asked or self._is_over():
                self.supervisor.begin_stop()
        self._take_verdicts()  # the publisher's last words

    def _take_verdicts(self) -> None:
        """Take what waits, or what comes within a moment; a flood doesn't keep the supervisor from its work."""
        until = time.monotonic() + _LOOP_S
        while (received := self.lane.receive(_LOOP_S)) is not None:
            verdict = self.state.take(received[1])
            if self.limits.verdicts is None or self.state.received <= self.limits.verdicts:
                self.view.show_verdict(verdict)
            if time.monotonic() > until:
                return

    def _keep_time(self) -> None:
        now = time.monotonic()
        is_late = now - self.started_at > _START_ALLOWANCE_S
        if self.counting_since is None and (self.supervisor.is_up or is_late):
            self.counting_since = now
        if now - self.status_at >= _STATUS_PERIOD_S:
            self.status_at = now
            with contextlib.suppress(ApplianceError):
                self.state.status = appliance_status(self.config)

    def _is_over(self) -> bool:
        if self.limits.verdicts is not None and self.state.received >= self.limits.verdicts:
            return True
        if self.limits.duration_s is None or self.counting_since is None:
            return False
        return time.monotonic() - self.counting_since >= self.limits.duration_s


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list instead of dying of them; the loop looks at it."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (signal's own signature)
        asked.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _counts(config: ApplianceConfig) -> dict[str, TallyCounts]:
    return {camera.name: count(config.runtime_dir, camera.name) for camera in config.cameras}


def _journal_head(config: ApplianceConfig) -> int:
    """Seq of the journal's newest row; 0 before there is a journal."""
    try:
        with contextlib.closing(JournalReader(config.state_dir / "journal")) as reader:
            return reader.head_seq
    except JournalError:  # none yet, or the recorder has said what is wrong with it
        return 0


def _since(before: TallyCounts, after: TallyCounts) -> TallyCounts:
    """Subtract what earlier runs settled, unless the files were made anew; what they left open was decided by us."""
    if before.file_id != after.file_id:
        return after
    reasons = Counter(after.unknown_by_reason) - Counter(before.unknown_by_reason)
    return TallyCounts(
        triggers=after.triggers - (before.triggers - before.open),
        ok=after.ok - before.ok,
        ng=after.ng - before.ng,
        unknown=after.unknown - before.unknown,
        open=after.open,
        unannounced=after.unannounced,
        unknown_by_reason=dict(reasons),
        oldest_open_exposed_ns=after.oldest_open_exposed_ns,
    )
