"""Command a simulated camera's faults and read its counters, from any process, through its state file.

state.h draws the byte map; this file repeats the part that Python touches.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.clock import boot_id
from appliance.errors import ConfigError

STATE_BYTES = 8192
_MAGIC = b"SIMCAM02"
_HEAD = struct.Struct("=8s16sQQQQQQ")  # magic, boot id, unused, line start, period, pulses, power-on, absent until
_COUNTERS_AT, _SERVED_AT = 128, 256
_COMMANDS_AT, _COMMAND = 1024, struct.Struct("=QIIQq24s")
_COMMAND_BYTES = 64
_PROGRESS_AT, _PROGRESS = 5120, struct.Struct("=QII")
_SLOTS = 64
_ANY_PULSE = 2**64 - 1
_DEFAULT_VALUE = -(2**63)


class FaultKind(IntEnum):
    """What the camera can be told to do wrong; README.md says how each one looks to the grabber."""

    INCOMPLETE = 1
    LOST = 2
    WRONG_SIZE = 3
    LATE = 4
    DISCONNECT = 5
    SKIP = 6
    BLACK = 7
    SATURATED = 8
    FROZEN = 9
    BLUR = 10
    TRUNCATED = 11
    DUPLICATE_FRAME_ID = 12


@dataclass(frozen=True)
class Counters:
    """What the camera did since its state file was made. exposed = delivered + underrun + lost + abandoned."""

    pulses: int
    """Rising edges on Line0 so far: what CounterValue reads."""
    exposed: int
    delivered: int
    """New-buffer events queued for the application, incomplete frames among them."""
    skipped: int
    """Triggers that found the camera busy, and the fault `skip`: neither frame nor frame_id gap."""
    underrun: int
    """No buffer was queued: a frame_id gap."""
    lost: int
    """The fault `lost`, or a transfer more than a second behind: a frame_id gap."""
    abandoned: int
    """The acquisition or the stream stopped before the frame was delivered."""
    acquisitions: int
    opens: int
    power_cycles: int
    last_frame_id: int
    last_pulse: int
    """The last pulse an acquiring camera looked at."""
    faults_served: dict[str, int]


_COUNTER_NAMES = [field.name for field in fields(Counters) if field.name not in {"pulses", "faults_served"}]
"""In the order of struct counters in state.h."""


@dataclass(frozen=True)
class Fault:
    """A command that was injected, for asking how far it has come."""

    slot: int
    sequence: int
    count: int


class SimcamControl:
    """A hand on one simulated camera. Several processes may hold one; each call stands alone.

    The state file is made if it isn't there, so faults can be laid in wait before the camera is first opened.
    """

    def __init__(self, state_path: Path) -> None:
        self._path = state_path
        self._fd = os.open(state_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with self._locked():
                self._adopt()
        except BaseException:
            self.close()
            raise

    def inject(
        self, kind: str | FaultKind, *, count: int = 1, at_pulse: int | None = None, value: int | None = None
    ) -> Fault:
        """Order a fault for the next `count` exposures, or for pulses `at_pulse` .. `at_pulse + count - 1`.

        One exposure suffers one fault: one bound to its pulse before others, older before newer. Without Line0 the
        pulse number is the number of the exposure since AcquisitionStart, the first being 1. `disconnect` without
        `at_pulse` happens at once, if the camera is open. The command waits while the camera is closed.

        Args:
            kind: A FaultKind, or its name in lower case.
            count: At least 1.
            at_pulse: The pulse as the edge counter counts; None: whatever comes next.
            value: What README.md says for this kind; None: the kind's default.
        Raises:
            ConfigError: An unknown kind, an impossible number, or 64 commands that still wait.
        """
        number = _kind(kind)
        if not 1 <= count < 2**32 or (at_pulse is not None and not 0 <= at_pulse < _ANY_PULSE):
            raise ConfigError(f"fault {number.name.lower()}: impossible count {count} or at_pulse {at_pulse}")
        with self._locked():
            self._adopt()
            slots = [self._slot(index) for index in range(_SLOTS)]
            free = [index for index, (sequence, open_count) in enumerate(slots) if open_count == 0 or sequence == 0]
            if not free:
                raise ConfigError(f"{self._path}: {_SLOTS} fault commands wait already; cancel() them or wait")
            fault = Fault(free[0], max(sequence for sequence, _ in slots) + 1, count)
            body = _COMMAND.pack(
                fault.sequence,
                number,
                count,
                _ANY_PULSE if at_pulse is None else at_pulse,
                _DEFAULT_VALUE if value is None else value,
                b"",
            )
            os.pwrite(self._fd, body + struct.pack("=Q", _fnv1a(body)), _COMMANDS_AT + free[0] * _COMMAND_BYTES)
        return fault

    def cancel(self) -> None:
        """Withdraw every command that still waits."""
        with self._locked():
            os.pwrite(self._fd, bytes(_SLOTS * _COMMAND_BYTES), _COMMANDS_AT)

    def progress(self, fault: Fault) -> tuple[int, int]:
        """(served, missed) of an injected fault; missed: its pulse went by without an exposure."""
        sequence, served, missed = _PROGRESS.unpack(
            os.pread(self._fd, _PROGRESS.size, _PROGRESS_AT + fault.slot * _PROGRESS.size)
        )
        return (served, missed) if sequence == fault.sequence else (0, 0)

    def pulses(self, monotonic_ns: int | None = None) -> int:
        """CounterValue at a CLOCK_MONOTONIC time, now by default."""
        _, _, _, started_ns, period_ns, last, _, _ = self._head()
        now_ns = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
        if started_ns == 0 or period_ns == 0 or now_ns <= started_ns:
            return 0
        pulses: int = (now_ns - started_ns) // period_ns
        return min(pulses, last) if last else pulses

    def pulse_time_ns(self, number: int) -> int | None:
        """CLOCK_MONOTONIC time of a pulse's rising edge; None while the line has not started."""
        _, _, _, started_ns, period_ns, _, _, _ = self._head()
        return started_ns + number * period_ns if started_ns and period_ns else None

    def counters(self) -> Counters:
        """What the camera did so far."""
        words = struct.unpack("=11Q", os.pread(self._fd, 88, _COUNTERS_AT))
        counted = dict(zip(_COUNTER_NAMES, words, strict=True))
        served = struct.unpack("=16Q", os.pread(self._fd, 128, _SERVED_AT))
        by_kind = {kind.name.lower(): served[kind] for kind in FaultKind}
        return Counters(pulses=self.pulses(), **counted, faults_served=by_kind)

    def close(self) -> None:
        """Let go of the file; the camera and its commands stay as they are."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer of commands at a time. flock() is another lock than the fcntl() one that owns the camera."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _head(self) -> tuple[bytes, bytes, int, int, int, int, int, int]:
        return _HEAD.unpack(os.pread(self._fd, _HEAD.size, 0))

    def _adopt(self) -> None:
        """Make a new file, or one of another boot or layout, an empty one; leave a fitting one alone."""
        stamp = _MAGIC + boot_id()
        if os.fstat(self._fd).st_size >= STATE_BYTES and os.pread(self._fd, 24, 0) == stamp:
            return
        os.posix_fallocate(self._fd, 0, STATE_BYTES)
        os.pwrite(self._fd, bytes(STATE_BYTES - 24), 24)
        os.pwrite(self._fd, stamp, 0)

    def _slot(self, index: int) -> tuple[int, int]:
        """(sequence, exposures still to come) of a command slot."""
        at = _COMMANDS_AT + index * _COMMAND_BYTES
        sequence, _, count, _, _, _ = _COMMAND.unpack(os.pread(self._fd, _COMMAND.size, at))
        served, missed = self.progress(Fault(index, sequence, count))
        return sequence, max(0, count - served - missed)


def _kind(kind: str | FaultKind) -> FaultKind:
    if isinstance(kind, FaultKind):
        return kind
    try:
        return FaultKind[kind.upper()]
    except KeyError:
        names = ", ".join(known.name.lower() for known in FaultKind)
        raise ConfigError(f"unknown fault {kind!r}: expected one of {names}") from None


def _fnv1a(body: bytes) -> int:
    """The check word that tells the camera a command is whole: FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in body:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value
