"""The session's own thread: while ONNX Runtime computes one batch, the loop checks the next frames and judges the last.

ONNX Runtime holds no Python lock while it computes, so on two cores nothing outside the session costs throughput.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

DEPTH = 2  # one that runs, one that starts the moment it ends


class InferenceThread(Generic[_Job, _Result]):
    """Runs jobs one after another, in order. Its owner, the loop, submits, polls `fileno` and collects."""

    def __init__(self, work: Callable[[_Job], _Result], name: str = "inference") -> None:
        """Start the thread; `work` must not raise, and touches nothing that the owner changes meanwhile."""
        self._work = work
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._jobs: deque[tuple[_Job, Future[_Result]]] = deque()
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __len__(self) -> int:
        return len(self._jobs)

    def fileno(self) -> int:
        """Descriptor to poll: readable when a result may be collected."""
        return self._done

    def submit(self, job: _Job) -> None:
        """Queue a job behind those that run; at most `DEPTH` at a time."""
        assert len(self._jobs) < DEPTH, "the thread has enough to do"
        future = self._pool.submit(self._work, job)
        self._jobs.append((job, future))
        future.add_done_callback(self._tell)

    def collect(self) -> list[tuple[_Job, _Result]]:
        """Take what is done, oldest first, without waiting."""
        try:
            os.eventfd_read(self._done)
        except BlockingIOError:
            return []
        finished = []
        while self._jobs and self._jobs[0][1].done():
            job, future = self._jobs.popleft()
            finished.append((job, future.result()))
        return finished

    def close(self) -> list[_Job]:
        """Wait for the job that runs; gives the jobs whose result nobody collected."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._done)
        return [job for job, _ in self._jobs]

    def _tell(self, future: "Future[_Result]") -> None:
        if not future.cancelled():
            os.eventfd_write(self._done, 1)
