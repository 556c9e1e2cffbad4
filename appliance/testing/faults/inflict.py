"""How each kind of fault is done to a running line; README.md lists them."""

import errno
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.testing.faults.evidence import Episode
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.plan import Fault, Kind
from appliance.testing.faults.preload import Operation

FSYNC_STALL_MS = 500


def inflict(line: FaultedLine, fault: Fault) -> Episode:
    """Do it, wait until it is over (not: until the line has recovered), and tell when that was."""
    episode = Episode(fault, began_ns=time.monotonic_ns())
    _KINDS[fault.kind](line, fault, episode)
    episode.released_ns = episode.released_ns or time.monotonic_ns()
    return episode


def _kill(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    for name in fault.victims:
        episode.released_ns = line.signal(name, signal.SIGKILL)


def _kill_again(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    """Once while it works, and once more while it starts and puts things in order."""
    (name,) = fault.victims
    line.signal(name, signal.SIGKILL)
    first = line.pid(name)
    line.until(lambda: line.pid(name) not in {None, first}, f"{name} is started again")
    line.hold(fault.hold_s)
    episode.released_ns = line.signal(name, signal.SIGKILL)


def _stop(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    (name,) = fault.victims
    line.signal(name, signal.SIGSTOP)
    try:
        line.hold(fault.hold_s)
    finally:
        episode.released_ns = line.signal(name, signal.SIGCONT)


def _disk_full(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    if line.filler is None:
        episode.skipped = "the state directory is not on a disk of its own"
        return
    line.filler.fill()
    try:
        _hold_and_kill(line, fault)
    finally:
        line.filler.release()


def _no_space(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    with _bad_disk(line, episode, Operation.ANY & ~Operation.SYNC, errno.ENOSPC):
        _hold_and_kill(line, fault)


def _disk_error(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    with _bad_disk(line, episode, Operation.ANY, errno.EIO):
        _hold_and_kill(line, fault)


def _slow_disk(line: FaultedLine, fault: Fault, episode: Episode) -> None:
    with _bad_disk(line, episode, Operation.SYNC, 0, FSYNC_STALL_MS):
        _hold_and_kill(line, fault)


@contextmanager
def _bad_disk(
    line: FaultedLine, episode: Episode, operations: Operation, error: int, delay_ms: int = 0
) -> Iterator[None]:
    rule = line.switch.fail(line.state_dir, operations, error=error, delay_ms=delay_ms)
    try:
        yield
    finally:
        episode.struck = line.switch.release(rule)


def _hold_and_kill(line: FaultedLine, fault: Fault) -> None:
    """Let the disk be bad; whoever is named dies, and starts again, while it is."""
    line.hold(fault.hold_s / 2)
    for name in fault.victims:
        line.signal(name, signal.SIGKILL)
    line.hold(fault.hold_s / 2)


def _frozen_subscriber(line: FaultedLine, fault: Fault, episode: Episode) -> None:  # noqa: ARG001 (one shape for all)
    """One on each lane: on the verdict lane a bystander, on the result lane the MES that has to acknowledge."""
    frozen = (line.frozen, line.mes)
    for each in frozen:
        each.freeze()
    try:
        line.hold(fault.hold_s)
    finally:
        for each in frozen:
            each.thaw()


def _kill_mes(line: FaultedLine, fault: Fault, episode: Episode) -> None:  # noqa: ARG001 (one shape for all)
    line.mes.kill()


def _clock_jump(line: FaultedLine, fault: Fault, episode: Episode) -> None:  # noqa: ARG001 (one shape for all)
    """There, and back again: two jumps, one each way."""
    line.switch.shift_wall_clock(fault.amount)
    try:
        line.hold(fault.hold_s)
    finally:
        line.switch.shift_wall_clock(0)


_KINDS: dict[Kind, Callable[[FaultedLine, Fault, Episode], None]] = {
    Kind.KILL: _kill,
    Kind.KILL_AGAIN: _kill_again,
    Kind.KILL_TOGETHER: _kill,
    Kind.STOP: _stop,
    Kind.DISK_FULL: _disk_full,
    Kind.NO_SPACE: _no_space,
    Kind.DISK_ERROR: _disk_error,
    Kind.SLOW_DISK: _slow_disk,
    Kind.FROZEN_SUBSCRIBER: _frozen_subscriber,
    Kind.KILL_MES: _kill_mes,
    Kind.CLOCK_JUMP: _clock_jump,
}
