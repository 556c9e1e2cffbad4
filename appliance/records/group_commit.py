"""Rows into the journal, many in one transaction: an fsync costs the same for one row as for a hundred."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.counters import LatencyWindow
from appliance.errors import DiskFull
from appliance.records.intake import Intaken
from appliance.records.journal import Journal
from appliance.records.row import Row
from appliance.records.work_thread import WorkThread

log = logging.getLogger(__name__)

MAX_GROUP_ROWS = 256
"""Rows of one transaction where more wait than a group asks for."""
_RETRY_NS = 250 * NS_PER_MS  # between two tries on a full disk


Committed = tuple[Intaken, Row | None]
"""A record, and its row; None where the journal refused it."""


@dataclass
class _Group:
    """One transaction: what went in, and what became of it; `done` is as long as there was space."""

    items: Sequence[Intaken]
    done: list[Committed] = field(default_factory=list)
    full: str | None = None
    took_ms: float = 0.0


class GroupCommit:
    """Collects rows, commits them in the journal's thread, one group at a time.

    Args:
        may_write: Whether there is space; while there is none, rows wait.
        on_commit: Called in the owner's thread with what is durable, in the order of its rows.
    Attributes:
        is_disk_full: Whether the last try found no space; it is tried again until there is some.
        refused: Rows the journal would not take for what they are: a bug, logged.
    """

    def __init__(
        self,
        journal: Journal,
        thread: WorkThread,
        *,
        group_rows: int,
        group_ms: float,
        may_write: Callable[[], bool],
        on_commit: Callable[[Sequence[Committed]], None],
    ) -> None:
        self._journal, self._thread = journal, thread
        self._group_rows, self._group_ns = group_rows, round(group_ms * NS_PER_MS)
        self._may_write, self._on_commit = may_write, on_commit
        self._waiting: deque[tuple[int, Intaken]] = deque()
        self._running = 0
        self._retry_ns = 0
        self._commit_ms = LatencyWindow()
        self.is_disk_full = False
        self.commits = self.rows = self.refused = 0

    def __len__(self) -> int:
        """Rows that are not durable yet."""
        return len(self._waiting) + self._running

    def add(self, items: Iterable[Intaken], now_ns: int) -> None:
        """Take rows in."""
        self._waiting.extend((now_ns, item) for item in items)

    def due_ns(self) -> int | None:
        """When the next group is due; None when none waits, one runs, or there is no space."""
        if self._running or not self._waiting or not self._may_write():
            return None
        full_at_ns = 0 if len(self._waiting) >= self._group_rows else self._waiting[0][0] + self._group_ns
        return max(full_at_ns, self._retry_ns)

    def step(self, now_ns: int) -> None:
        """Start a transaction when one is due."""
        due_ns = self.due_ns()
        if due_ns is None or now_ns < due_ns:
            return
        size = min(len(self._waiting), max(self._group_rows, MAX_GROUP_ROWS))
        items = [self._waiting.popleft()[1] for _ in range(size)]
        self._running = size
        self._thread.submit(lambda: self._commit(_Group(items)), self._finish)

    def status(self) -> dict[str, Any]:
        """Say how the journal keeps up."""
        return {
            "commit_ms": self._commit_ms.summary(),
            "commits": self.commits,
            "rows": self.rows,
            "rows_waiting": len(self),
            "rows_refused": self.refused,
        }

    def _commit(self, group: _Group) -> _Group:
        """Runs in the journal's thread."""
        start_ns = time.monotonic_ns()
        try:
            try:
                rows = self._journal.commit([item.record for item in group.items])
                group.done += zip(group.items, rows, strict=True)
            except ValueError:  # one of them isn't fit for the journal: it must not hold up the others
                self._commit_singly(group)
        except DiskFull as error:
            group.full = str(error)
        group.took_ms = (time.monotonic_ns() - start_ns) / NS_PER_MS
        return group

    def _commit_singly(self, group: _Group) -> None:
        for item in group.items:
            row = None
            try:
                (row,) = self._journal.commit([item.record])
            except ValueError as error:
                log.error("record refused by the journal: %s: %.300r", error, item.record)  # noqa: TRY400 (says it all)
            group.done.append((item, row))

    def _finish(self, group: _Group) -> None:
        self._running = 0
        now_ns = time.monotonic_ns()
        left = group.items[len(group.done) :]
        self._waiting.extendleft((now_ns - self._group_ns, item) for item in reversed(left))
        self._retry_ns = now_ns + _RETRY_NS if left else 0
        self._tell_of_space(group.full)
        if group.done:
            refused = sum(row is None for _, row in group.done)
            self.refused += refused
            self.rows += len(group.done) - refused
            self.commits += 1
            self._commit_ms.add(group.took_ms)
            self._on_commit(group.done)

    def _tell_of_space(self, full: str | None) -> None:
        if full is not None and not self.is_disk_full:
            log.error("%s; rows wait in memory and in the spool, verdicts go on", full)
        elif full is None and self.is_disk_full:
            log.warning("the journal can be written again")
        self.is_disk_full = full is not None
