"""How long a frame takes from one process to another, one way: in place in the ring, and by what else there is.

The clock starts when the frame lies in the sender's memory, as a camera leaves it, and stops when the receiver has it
as an array. Every way carries the same frames in the same run, in turn; the machine's moods hit all of them alike.

`python -m appliance.box.bench.ring [FRAMES [FRAME_BYTES]]` prints the figures as JSON.
"""

import json
import multiprocessing
import select
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.box.bench.machine import machine
from appliance.clock import NS_PER_MS
from appliance.counters import percentile
from appliance.errors import RingError
from appliance.messages import FrameGeometry, Reason, Trigger
from appliance.ring import FrameRing, RingLayout, RingReader
from appliance.wire.bench_ipc import IpcFrames

_SLOTS = 4
_WARM_UP = 5
_PATIENCE_S = 20.0
_RIVALS = ("multiprocessing.Queue", "pyzmq_ipc", "memcpy")
_WAYS = ("ring", "multiprocessing.Queue", "pyzmq_ipc")

Frame = NDArray[np.uint8]


def bench_ring(frames: int = 500, frame_bytes: int = 5_000_000) -> dict[str, Any]:
    """Measure the hand-off of `frames` frames each way.

    Raises:
        RingError: The receiving process did not start, or ended.
    """
    took_ms: dict[str, list[float]] = {way: [] for way in (*_WAYS, *_RIVALS)}
    with _Sender(frame_bytes) as sender:
        for number in range(-_WARM_UP, frames):
            for way in _turns(number):
                handoff_ms = sender.hand_over(way, number + _WARM_UP + 1)
                if number >= 0:
                    took_ms[way].append(handoff_ms)
            copy_ms = sender.copy()
            if number >= 0:
                took_ms["memcpy"].append(copy_ms)
    return {
        "machine": machine(),
        "frame_bytes": frame_bytes,
        "frames": frames,
        "handoff_ms": _summary(took_ms["ring"]),
        "others": {way: _summary(took_ms[way]) for way in _RIVALS},
    }


def _turns(number: int) -> tuple[str, ...]:
    first = number % len(_WAYS)
    return _WAYS[first:] + _WAYS[:first]


def _summary(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    return {"p50": round(percentile(ordered, 50), 3), "p99": round(percentile(ordered, 99), 3)}


class _Sender:
    """This process: a ring with its service thread, a queue, a socket, and a child that receives from all three."""

    def __init__(self, frame_bytes: int) -> None:
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="appliance-bench-")))
        self._ring = self._stack.enter_context(_served(FrameRing(folder / "ring")))
        self._memory = self._ring.renew(RingLayout.plan(FrameGeometry(frame_bytes, 1, "Mono8"), _SLOTS))
        self._ipc = self._stack.enter_context(closing(IpcFrames(folder / "ipc", is_sender=True)))
        spawn = multiprocessing.get_context("spawn")
        self._queue: Queue[Frame] = spawn.Queue(2)
        self._replies, reply = spawn.Pipe(duplex=False)
        self._child = spawn.Process(target=_receive_all, args=(folder, self._queue, reply), daemon=True)
        self._frame = np.random.default_rng(0).integers(0, 256, frame_bytes, np.uint8)
        self._copy = np.empty_like(self._frame)
        self._child.start()
        reply.close()

    def __enter__(self) -> "_Sender":
        try:
            self._reply()
            while not self._ring.has_inspector:  # its hello is on the way
                time.sleep(0.001)
        except RingError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.join()
        self._child.close()
        self._replies.close()
        self._queue.close()
        self._queue.cancel_join_thread()
        self._stack.close()

    def hand_over(self, way: str, number: int) -> float:
        """Send frame `number`; gives the milliseconds until the child had it."""
        self._frame[:8].view("<u8")[0] = number
        send: Callable[[], int] = {
            "ring": lambda: self._offer(number),
            "multiprocessing.Queue": lambda: self._timed(lambda: self._queue.put(self._frame)),
            "pyzmq_ipc": lambda: self._timed(lambda: self._ipc.send(self._frame.data)),
        }[way]
        start_ns = send()
        received_ns, seen = self._reply()
        if seen != number:
            raise RingError(f"bench: {way} delivered frame {seen}, expected {number}")
        return (received_ns - start_ns) / NS_PER_MS

    def copy(self) -> float:
        """Copy one frame in this process; gives milliseconds."""
        start_ns = time.monotonic_ns()
        np.copyto(self._copy, self._frame)
        return (time.monotonic_ns() - start_ns) / NS_PER_MS

    def _offer(self, number: int) -> int:
        slot = self._ring.loan()
        if slot is None:
            raise RingError(f"bench: no free slot for frame {number}")
        self._memory.writable(slot)[: self._frame.size] = self._frame  # the camera's part, before the clock starts
        start_ns = time.monotonic_ns()
        received = self._ring.receive(slot)
        reason = received.reason or self._ring.offer(slot, Trigger(number, start_ns)).reason
        if reason is not Reason.NONE:
            raise RingError(f"bench: frame {number} not offered: {reason.word}")
        return start_ns

    def _timed(self, send: Callable[[], None]) -> int:
        start_ns = time.monotonic_ns()
        send()
        return start_ns

    def _reply(self) -> tuple[int, int]:
        try:
            if self._replies.poll(_PATIENCE_S):
                received_ns, seen = self._replies.recv()
                return received_ns, seen
        except EOFError:
            pass
        raise RingError(f"bench: the receiving process does not answer, exit status {self._child.exitcode}")


@contextmanager
def _served(ring: FrameRing) -> Iterator[FrameRing]:
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            ring.serve(0.05)

    thread = threading.Thread(target=serve, name="bench-ring-service")
    thread.start()
    try:
        yield ring
    finally:
        is_over.set()
        thread.join()
        ring.close()


def _receive_all(folder: Path, queue: "Queue[Frame]", replies: Connection) -> None:
    reader = RingReader(folder / "ring")
    ipc = IpcFrames(folder / "ipc", is_sender=False)
    if not reader.connect():
        return
    receive: dict[str, Callable[[], tuple[int, int]]] = {
        "ring": lambda: _take_from_ring(reader),
        "multiprocessing.Queue": lambda: _stamp(queue.get()),
        "pyzmq_ipc": lambda: _stamp(np.frombuffer(ipc.receive(), np.uint8)),
    }
    replies.send((time.monotonic_ns(), 0))
    number = -_WARM_UP
    while True:
        for way in _turns(number):
            replies.send(receive[way]())
        number += 1


def _take_from_ring(reader: RingReader) -> tuple[int, int]:
    while True:
        select.select([reader.fileno()], [], [])
        for lease in reader.receive():
            with lease:
                return _stamp(lease.pixels.reshape(-1).view(np.uint8))
        if not reader.is_connected:
            raise RingError("bench: the ring's writer is gone")


def _stamp(frame: Frame) -> tuple[int, int]:
    received_ns = time.monotonic_ns()
    return received_ns, int(frame[:8].view("<u8")[0])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bench_ring(*map(int, sys.argv[1:])), indent=2) + "\n")
