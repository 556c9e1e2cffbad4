"""Processes for the ring's tests: readers and writers that are killed in the middle of their work.

What a process saw or did is written to a board, a file that it maps: a store into it survives kill -9.
"""

import mmap
import os
import random
import select
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.messages import Reason
from appliance.ring import FrameRing, ReaderRole, RingReader
from appliance.testing.marked_frames import MarkingCamera, is_intact, marked_layout

BOARD_IDS = 1_000_000
TORN = 255


def board(path: Path) -> NDArray[np.uint8]:
    """Map a board: one byte a trigger id; how often it was seen, 1 where it was offered, TORN where pixels changed."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, BOARD_IDS)
        return np.frombuffer(mmap.mmap(fd, BOARD_IDS), np.uint8)
    finally:
        os.close(fd)


def read(ring: str, role: str, board_path: str, seed: int, hold_s: float) -> None:
    """Lease frames for ever, hold some of each batch for a while, compare every pixel at both ends of each lease."""
    random_ = random.Random(seed)
    seen = board(Path(board_path))
    reader = RingReader(Path(ring), ReaderRole(role))
    poller = select.poll()
    while True:
        if not reader.is_connected and not reader.connect():
            time.sleep(0.001)
            continue
        poller.register(reader.fileno(), select.POLLIN)
        poller.poll(20)
        poller.unregister(reader.fileno())
        leases = reader.receive()
        for lease in leases:
            seen[lease.trigger.trigger_id] += 1
            if not is_intact(lease):
                seen[lease.trigger.trigger_id] = TORN
        if leases and hold_s:
            time.sleep(random_.uniform(0, hold_s))
        random_.shuffle(leases)
        for lease in leases:
            if not is_intact(lease):
                seen[lease.trigger.trigger_id] = TORN
            lease.release()


def write(ring_path: str, board_path: str, first_id: int, slots: int, words: int) -> None:
    """Deliver frames for ever as fast as the ring takes them; note each one that was offered."""
    offered = board(Path(board_path))
    ring = FrameRing(Path(ring_path))
    ring.renew(marked_layout(slots, words))
    camera = MarkingCamera(ring, next_id=first_id)
    threading.Thread(target=_serve, args=(ring,), daemon=True).start()
    while not ring.has_inspector:
        time.sleep(0.0005)
    while True:
        trigger_id = camera.next_id
        outcome = camera.expose()
        if outcome is not None and outcome.reason is Reason.NONE:
            offered[trigger_id] = 1
        else:
            time.sleep(0.0005)


def _serve(ring: FrameRing) -> None:
    while True:
        ring.serve(0.05)
