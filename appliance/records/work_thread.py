"""A thread that does one thing after another for a loop that must never wait: the journal's, the reading one."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class WorkThread:
    """Does jobs in the order given. Its owner, the loop, submits, polls `fileno` and collects.

    Args:
        name: Names the thread.
        initializer: Called first, in the thread.
    """

    def __init__(self, name: str, initializer: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=initializer)
        self._jobs: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __len__(self) -> int:
        return len(self._jobs)

    def fileno(self) -> int:
        """Descriptor to poll: readable when something may be collected."""
        return self._done

    def submit(self, work: Callable[[], _Result], then: Callable[[_Result], None]) -> None:
        """Queue `work` for the thread; `collect` gives its result to `then`, in the owner's thread."""
        future = self._pool.submit(work)
        self._jobs.append((future, then))
        future.add_done_callback(self._tell)

    def collect(self) -> None:
        """Pass on what is done, oldest first, without waiting; raises here what a job raised there."""
        try:
            os.eventfd_read(self._done)
        except BlockingIOError:
            return
        while self._jobs and self._jobs[0][0].done():
            future, then = self._jobs.popleft()
            then(future.result())

    def close(self) -> None:
        """Wait for the job that runs; those behind it are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._done)

    def _tell(self, future: "Future[Any]") -> None:
        if not future.cancelled():
            os.eventfd_write(self._done, 1)
