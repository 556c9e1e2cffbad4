"""One supervised process: start, watch, restart, stop.

state      enters when                      leaves when
WAITING    it ended, or was never started   its restart time has come → STARTING
STARTING   it was spawned                   READY=1 → UP; ended, or not ready in time → WAITING
UP         READY=1                          ended, or its watchdog was late (killed) → WAITING
STOPPING   SIGTERM was sent                 ended → STOPPED
STOPPED    it ended and was meant to
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from enum import Enum

from appliance.box.process_table import ProcessSpec

START_TIMEOUT_S = 30.0
FIRST_BACKOFF_S = 0.05
LAST_BACKOFF_S = 2.0
STEADY_AFTER_S = 10.0
"""A process that was up for so long has its backoff reset."""


class ChildState(Enum):
    """Where a child is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Child:
    """A process of the table and its current incarnation.

    Attributes:
        restarts: Times it ended unasked.
        failed_starts: Times it ended before READY=1, since it last was up.
        error_line: What the current or last incarnation called its error ("error: …").

    Args:
        environment: For the process, with NOTIFY_SOCKET set.
        show: Called with each line it prints, as (name, line).
        steady_after_s: Once it was up for so long, its next restart comes at once.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        environment: dict[str, str],
        show: Callable[[str, str], None],
        steady_after_s: float = STEADY_AFTER_S,
    ) -> None:
        self.spec = spec
        self.state = ChildState.WAITING
        self.restarts = 0
        self.failed_starts = 0
        self.was_ever_up = False
        self.status = ""
        self.error_line: str | None = None
        self._environment = {**environment, "WATCHDOG_USEC": str(int(spec.watchdog_s * 1e6))}
        self._show = show
        self._steady_after_s = steady_after_s
        self._process: subprocess.Popen[bytes] | None = None
        self._half_line = b""
        self._backoff_s = 0.0
        self._start_at = 0.0
        self._alive_at = 0.0
        self._up_since = 0.0

    @property
    def pid(self) -> int | None:
        """Process id of the current incarnation."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Spawn it in a process group of its own: Ctrl-C on the terminal reaches the supervisor alone."""
        self.error_line = None
        self._half_line = b""
        self._process = subprocess.Popen(  # noqa: S603 (argv comes from the process table)
            self.spec.argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            process_group=0,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self.state = ChildState.STARTING
        self._alive_at = time.monotonic()

    def hear(self, notification: dict[str, str]) -> None:
        """Act on what the process reported."""
        self.status = notification.get("STATUS", self.status)
        if notification.get("READY") == "1" and self.state is ChildState.STARTING:
            self.state = ChildState.UP
            self.was_ever_up = True
            self.failed_starts = 0
            self._up_since = time.monotonic()
        if "READY" in notification or "WATCHDOG" in notification:
            self._alive_at = time.monotonic()

    @property
    def is_expected(self) -> bool:
        """Whether others may wait for it: it is needed at all times."""
        return not self.spec.is_optional

    def is_start_due(self) -> bool:
        """Tell whether a waiting process should be spawned now."""
        return self.state is ChildState.WAITING and time.monotonic() >= self._start_at and self.spec.is_needed

    def is_hung(self) -> bool:
        """Tell whether it has been silent for longer than its state allows."""
        limit_s = {ChildState.STARTING: START_TIMEOUT_S, ChildState.UP: self.spec.watchdog_s}.get(self.state)
        return limit_s is not None and time.monotonic() - self._alive_at > limit_s

    def reap(self) -> int | None:
        """Forward what it printed; when it has ended, schedule the restart and give its exit status."""
        if self._process is None:
            return None
        status = self._process.poll()
        self._forward()
        if status is None:
            return None
        self._forget_process()
        if self.state is ChildState.STOPPING:
            self.state = ChildState.STOPPED
        else:
            self._schedule_restart()
        return status

    def terminate(self) -> None:
        """Ask it to end and don't restart it."""
        if self._process is None:
            self.state = ChildState.STOPPED
        elif self.state is not ChildState.STOPPING:
            self.state = ChildState.STOPPING
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; `reap` notices the end, which may take a while: it isn't called hung again meanwhile."""
        if self._process is not None:
            self._process.kill()
            self._alive_at = time.monotonic()

    def _schedule_restart(self) -> None:
        now = time.monotonic()
        was_up = self.state is ChildState.UP
        if not was_up:
            self.failed_starts += 1
        is_steady = was_up and now - self._up_since > self._steady_after_s
        is_first = is_steady or not self._backoff_s
        self._backoff_s = FIRST_BACKOFF_S if is_first else min(self._backoff_s * 2, LAST_BACKOFF_S)
        self._start_at = now + self._backoff_s
        self.restarts += 1
        self.state = ChildState.WAITING

    def _forward(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read(65536):
            *lines, self._half_line = (self._half_line + chunk).split(b"\n")
            for line in lines:
                self._hear_line(line)

    def _hear_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text.startswith("error: "):
            self.error_line = text.removeprefix("error: ")  # the supervisor says it, once
        else:
            self._show(self.spec.name, text)

    def _forget_process(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if self._half_line:
            self._hear_line(self._half_line)
        self._process.stdout.close()
        self._process = None
