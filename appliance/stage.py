"""What every process of the appliance shares: stop flag, systemd's notify protocol, status file.

The same protocol serves the box and the desk: systemd listens on NOTIFY_SOCKET there, `appliance run` here.
"""

import ctypes
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from appliance.clock import NS_PER_S
from appliance.config import surroundings
from appliance.errors import ConfigError

STATUS_PERIOD_S = 0.5
_PR_SET_PDEATHSIG = 1


class Stage:
    """One process's life: `ready`, then `beat` once per loop until `is_stopping`, then `stopped`.

    A signal handler only sets the flag; the loop acts on it.

    Args:
        name: Unique on the box, e.g. "grab-cam0"; names the status file.
        runtime_dir: Made with mode 0700 if missing.
    Raises:
        ConfigError: The directory can't be made, or belongs to somebody else.
    """

    def __init__(self, name: str, runtime_dir: Path) -> None:
        self.name = name
        self.runtime_dir = runtime_dir
        self.is_stopping = False
        self._started_ns = time.monotonic_ns()
        self._notified_ns = 0
        self._is_ready_due = False
        self._status_path = runtime_dir / f"status.{name}.json"
        self._status_written_ns = 0
        _claim(runtime_dir)
        surrounding = surroundings()
        self._notifier = _Notifier(surrounding.notify_socket)
        # systemd's advice: notify at less than half the watchdog's period.
        self._notify_period_ns = (surrounding.watchdog_usec or 2_000_000) * 1000 // 4

    def install_signal_handlers(self) -> None:
        """Let SIGTERM and SIGINT set the stop flag. Call in the main thread, after any library that grabs SIGINT."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def ready(self) -> None:
        """Tell the supervisor that work has begun."""
        self._is_ready_due = not self._notifier.send("READY=1")

    def beat(self, status: Callable[[], dict[str, Any]]) -> None:
        """Report a completed loop iteration: feeds the watchdog, refreshes the status file when it is due."""
        now_ns = time.monotonic_ns()
        if self._is_ready_due:
            self.ready()
        if now_ns - self._notified_ns >= self._notify_period_ns and self._notifier.send("WATCHDOG=1"):
            self._notified_ns = now_ns
        if now_ns - self._status_written_ns >= STATUS_PERIOD_S * NS_PER_S:
            self._status_written_ns = now_ns
            self._write_status(status(), now_ns)

    def stopped(self) -> None:
        """Tell the supervisor that the end is meant, and remove the status file, if it is ours."""
        self._notifier.send("STOPPING=1")
        if self._status_written_ns:  # a second process of this name that can't start must not take the first one's
            self._status_path.unlink(missing_ok=True)
        self._notifier.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (signal's own signature)
        self.is_stopping = True

    def _write_status(self, status: dict[str, Any], now_ns: int) -> None:
        content = {
            "process": self.name,
            "pid": os.getpid(),
            "at_monotonic_ns": now_ns,
            "up_s": round((now_ns - self._started_ns) / NS_PER_S, 1),
            **status,
        }
        temporary = self._status_path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content))
        temporary.replace(self._status_path)


def _claim(runtime_dir: Path) -> None:
    """Make the directory if it is missing; refuse one that somebody else has laid out for us."""
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = runtime_dir.stat().st_uid
    except OSError as error:
        raise ConfigError(f"runtime_dir {runtime_dir}: {error.strerror}; choose another one") from error
    if os.geteuid() not in {0, owner}:
        raise ConfigError(
            f"runtime_dir {runtime_dir} belongs to user {owner}, not to us ({os.geteuid()}); choose another"
        )


class _Notifier:
    """Sends sd_notify datagrams; a supervisor that is gone or absent is no error."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    def send(self, message: str) -> bool:
        """Send one; False when its queue is full now, and the same should be tried again soon."""
        if self._socket is not None and self._address is not None:
            try:
                self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
            except BlockingIOError:
                return False
            except OSError:
                return True
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; for the supervisor's children, not under systemd."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
