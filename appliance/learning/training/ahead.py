"""Make the next things while the last one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

_Item = TypeVar("_Item")
_PATIENCE_S = 0.2


class _End:
    """Nothing more comes; `error` says why, where that was no regular end."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def made_ahead(items: Iterator[_Item], most: int = 3) -> Iterator[_Item]:
    """Yield the items, up to `most` of which a thread has made already. What it raises is raised here.

    The thread ends with the iterator: exhausted, closed or dropped.
    """
    made: queue.Queue[_Item | _End] = queue.Queue(most)
    is_wanted = threading.Event()
    is_wanted.set()

    def put(item: _Item | _End) -> None:
        while is_wanted.is_set():
            with suppress(queue.Full):
                made.put(item, timeout=_PATIENCE_S)
                return

    def make() -> None:
        try:
            for item in items:
                put(item)
                if not is_wanted.is_set():
                    return
            put(_End())
        except BaseException as error:
            put(_End(error))

    thread = threading.Thread(target=make, name="made-ahead")
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        is_wanted.clear()
        thread.join()
