"""Threads that encode and write pictures while nothing else needs the machine, and never hold anybody up.

What waits is bounded by its bytes: a picture that finds no room is skipped, and its record says so. Encoding, hashing
and waiting for the disk hold no Python lock.
"""

import contextlib
import logging
import os
import queue
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.counters import LatencyWindow
from appliance.records.absence import Absence
from appliance.records.image_plan import ImageJob
from appliance.records.images import ImageResult, ImageStore
from appliance.records.low_priority import lower_priority

log = logging.getLogger(__name__)

_NICE = 10  # a tenth of a busy core at the least; 19 would starve the queue, and with it the rows behind it
LAST_WRITE_S = 1.0
"""How long the picture being written may hold up a closing."""


class ImageEncoder:
    """Runs the store's writes. Its owner, the recorder's loop, submits, polls `fileno` and collects.

    Args:
        max_waiting_bytes: Pixels that may wait, those being encoded included. A single larger picture still passes
            while nothing else waits.
    """

    def __init__(self, store: ImageStore, *, max_waiting_bytes: int, threads: int = 1) -> None:
        """Start the threads."""
        self._store = store
        self._max_waiting_bytes = max_waiting_bytes
        self._jobs: queue.SimpleQueue[ImageJob | None] = queue.SimpleQueue()
        self._results: deque[tuple[ImageResult, int, float]] = deque()
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_closing = False
        self._waiting = 0
        self._waiting_bytes = 0
        self._stored = 0
        self._missing: Counter[str] = Counter()
        self._took_ms = LatencyWindow()
        self._threads = [threading.Thread(target=self._work, name=f"images-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return self._waiting

    def fileno(self) -> int:
        """Descriptor to poll: readable when a result may be collected."""
        return self._done

    def submit(self, job: ImageJob) -> bool:
        """Copy a picture and queue it; the job's pixels may be given back after this call.

        Returns:
            False when there is no room: nothing was copied, the picture is skipped, counted.
        """
        size = job.pixels.nbytes
        if self._waiting and self._waiting_bytes + size > self._max_waiting_bytes:
            self._missing[Absence.QUEUE_FULL.value] += 1
            return False
        self._waiting += 1
        self._waiting_bytes += size
        self._jobs.put(replace(job, pixels=job.pixels.copy()))
        return True

    def finished(self) -> list[ImageResult]:
        """Take what is done, oldest first, without waiting."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._done)
        results = []
        while self._results:
            result, size, took_ms = self._results.popleft()
            self._waiting -= 1
            self._waiting_bytes -= size
            self._took_ms.add(took_ms)
            if result.why is None:
                self._stored += 1
            else:
                self._missing[result.why.value] += 1
            results.append(result)
        return results

    def status(self) -> dict[str, Any]:
        """Say what the pictures came to."""
        return {
            "waiting": self._waiting,
            "waiting_bytes": self._waiting_bytes,
            "stored": self._stored,
            "missing": dict(self._missing),
            "write_ms": self._took_ms.summary(),
        }

    def close(self, timeout_s: float = 0.0) -> list[ImageResult]:
        """Let what waits be written as far as the time allows, then end the threads; gives the last results.

        A picture that is being written is finished in any case, unless the disk hangs for longer than LAST_WRITE_S.
        """
        for _ in self._threads:
            self._jobs.put(None)  # behind everything that waits
        _join(self._threads, timeout_s)
        self._is_closing = True
        _join(self._threads, LAST_WRITE_S)
        results = self.finished()
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self._done)  # a thread in a hanging fsync keeps it: it is a daemon, and goes with the process
        return results

    def _work(self) -> None:
        lower_priority(_NICE)
        while (job := self._jobs.get()) is not None and not self._is_closing:
            start_ns = time.monotonic_ns()
            result = self._write(job)
            took_ms = (time.monotonic_ns() - start_ns) / NS_PER_MS
            self._results.append((result, job.pixels.nbytes, took_ms))
            os.eventfd_write(self._done, 1)

    def _write(self, job: ImageJob) -> ImageResult:
        try:
            return self._store.write(job)
        except Exception:  # a bug of ours: it costs this picture, not the thread, the record and all that follow
            log.exception("image %s: not written", job.plan.stem)
            return ImageResult(job.plan, why=Absence.ENCODING_FAILED)


def _join(threads: list[threading.Thread], timeout_s: float) -> None:
    end_ns = time.monotonic_ns() + round(timeout_s * 1e9)
    for thread in threads:
        thread.join(max(0.0, (end_ns - time.monotonic_ns()) / 1e9))
