"""Keeps the processes of the table alive, as systemd does on the box, with the same notify protocol.

A child that ends is restarted (at once, then with backoff); one that lets its watchdog run out is killed and
restarted. Only while starting up for the first time is an error final: a wrong configuration, a broken model, a
missing camera or a busy endpoint won't get better by itself, and a person is there to read it.

Read in order of time: `start`, `step` until `has_ended`, `begin_stop`, `close`. The caller's loop calls `step`, and a
signal handler only sets the caller's flag.
"""

import contextlib
import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.box.child import STEADY_AFTER_S, Child, ChildState
from appliance.box.notify_socket import NotifySocket
from appliance.box.process_table import ProcessSpec
from appliance.errors import ExitCode, StageFailed

STOP_BUDGETS_S = (2.0, 3.0, 4.0, 8.0)
"""Seconds after `begin_stop` at which the first, second, … rank is killed if it hasn't ended."""
FIRST_RANK_PATIENCE_S = 10.0
"""Cameras wait so long for the others to come up, then start all the same: their triggers are UNKNOWN till then."""
MAX_FAILED_STARTS = 5
STATUS_NAME = "status.supervisor.json"
_STATUS_PERIOD_S = 0.5
_UNPLANNED = frozenset({ExitCode.OK, ExitCode.INTERNAL, ExitCode.INTERRUPTED})

_log = logging.getLogger(__name__)


class Supervisor:
    """Supervises one table of processes in one runtime directory.

    Args:
        table: In starting order.
        runtime_dir: Made with mode 0700 if missing; locked, so that two supervisors never share it.
        config_path: Told to `appliance status` and `watch`, so that they find this appliance.
        environment: For the children.
        show: Called with each line a child prints, as (name, line).
        steady_after_s: A process that was up for so long is restarted without growing delays.
    Raises:
        StageFailed: Another supervisor works in this directory.
    """

    def __init__(
        self,
        table: Sequence[ProcessSpec],
        runtime_dir: Path,
        *,
        config_path: Path,
        environment: Mapping[str, str],
        show: Callable[[str, str], None],
        steady_after_s: float = STEADY_AFTER_S,
    ) -> None:
        self._runtime_dir = runtime_dir
        self._config_path = config_path
        self._lock_fd = _lock(runtime_dir)
        self._notify = NotifySocket(runtime_dir / "notify.sock")
        given = {name: value for name, value in environment.items() if name != "WATCHDOG_PID"}
        given["NOTIFY_SOCKET"] = str(self._notify.path)
        self.children = tuple(Child(spec, given, show, steady_after_s) for spec in table)
        self._started_at = 0.0
        self._stop_began_at: float | None = None
        self._status_written_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Spawn the processes; those that stop first (the cameras) start last, once somebody can judge their frames."""
        self._started_at = time.monotonic()
        for child in self.children:
            if child.spec.is_needed and self._may_start(child):
                child.start()

    def step(self) -> None:
        """Hear notifications, restart the ended and the hung, go on with a stop; never blocks.

        Raises:
            StageFailed: A process can't be started: its own error, with its own exit code.
        """
        self._hear()
        for child in self.children:
            self._attend(child)
        if self._stop_began_at is not None:
            self._stop_next_rank(time.monotonic() - self._stop_began_at)
        self._write_status()

    def begin_stop(self) -> None:
        """Start stopping, rank by rank; `step` goes on with it."""
        if self._stop_began_at is None:
            self._stop_began_at = time.monotonic()

    @property
    def is_stopping(self) -> bool:
        """Whether `begin_stop` was called."""
        return self._stop_began_at is not None

    @property
    def is_up(self) -> bool:
        """Whether every process that is needed at all times has reported READY=1 and is alive."""
        return all(child.state is ChildState.UP for child in self.children if child.is_expected)

    @property
    def has_ended(self) -> bool:
        """Whether every process has ended and was meant to."""
        return all(child.state is ChildState.STOPPED for child in self.children)

    def close(self) -> None:
        """Stop whatever still runs, within the stop budgets, and leave no process and no socket behind."""
        self.begin_stop()
        while not self.has_ended:
            with contextlib.suppress(StageFailed):
                self.step()
            time.sleep(0.01)
        self._notify.close()
        _remove_leftovers(self._runtime_dir)
        os.close(self._lock_fd)

    def _hear(self) -> None:
        for pid, notification in self._notify.receive():
            for child in self.children:
                if child.pid == pid:
                    child.hear(notification)

    def _attend(self, child: Child) -> None:
        pid = child.pid
        status = child.reap()
        if status is not None and child.state is ChildState.WAITING:
            self._judge_end(child, pid, status)
        elif child.is_hung():
            _log.warning("%s (pid %s) answers no more: killed, restarting", child.spec.name, child.pid)
            child.kill()
        if self.is_stopping and child.state is ChildState.WAITING:
            child.terminate()
        elif child.is_start_due() and self._may_start(child):
            child.start()

    def _may_start(self, child: Child) -> bool:
        first_rank = min(other.spec.stop_rank for other in self.children)
        if child.spec.stop_rank > first_rank or time.monotonic() - self._started_at > FIRST_RANK_PATIENCE_S:
            return True
        others = (other for other in self.children if other.is_expected)
        return all(other.was_ever_up for other in others if other.spec.stop_rank > first_rank)

    def _judge_end(self, child: Child, pid: int | None, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        said = f": {child.error_line}" if child.error_line else ""
        if status == 0 and not child.spec.is_needed:
            return
        if child.is_expected and not child.was_ever_up and not self.is_stopping:
            if status > 0 and status in set(ExitCode) - _UNPLANNED:
                failure = StageFailed(child.error_line or f"{child.spec.name} ended with {how} before it was ready")
                failure.exit_code = ExitCode(status)
                raise failure
            if child.failed_starts >= MAX_FAILED_STARTS:
                raise StageFailed(
                    f"{child.spec.name} ended {child.failed_starts} times before it was ready, last with {how}{said}"
                )
        _log.warning("%s (pid %s) ended with %s%s; restarting", child.spec.name, pid, how, said)

    def _stop_next_rank(self, elapsed_s: float) -> None:
        ranks = sorted({child.spec.stop_rank for child in self.children})
        for rank, budget_s in zip(ranks, STOP_BUDGETS_S, strict=False):
            alive = [c for c in self.children if c.spec.stop_rank == rank and c.state is not ChildState.STOPPED]
            for child in alive:
                child.terminate()
                if elapsed_s > budget_s:
                    child.kill()
            if alive:
                return

    def _write_status(self) -> None:
        now = time.monotonic()
        if now - self._status_written_at < _STATUS_PERIOD_S:
            return
        self._status_written_at = now
        content = {
            "process": "supervisor",
            "pid": os.getpid(),
            "at_monotonic_ns": time.monotonic_ns(),
            "config": str(self._config_path.resolve()),
            "restarts": {child.spec.name: child.restarts for child in self.children},
        }
        temporary = self._runtime_dir / f"{STATUS_NAME}.tmp"
        temporary.write_text(json.dumps(content))
        temporary.replace(self._runtime_dir / STATUS_NAME)


def _lock(runtime_dir: Path) -> int:
    runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(runtime_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StageFailed(
            f"an appliance already runs in {runtime_dir}; stop it, or give this one another runtime_dir"
        ) from None
    return fd


def _remove_leftovers(runtime_dir: Path) -> None:
    """Remove sockets and status files of processes that were killed; tally files stay: they are the truth."""
    for path in runtime_dir.iterdir():
        if stat.S_ISSOCK(path.lstat().st_mode) or path.match("status.*"):
            path.unlink(missing_ok=True)
