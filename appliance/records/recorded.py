"""Which triggers have a record, journalled or on its way: so that no trigger gets two, and none gets none."""

from dataclasses import dataclass
from typing import Protocol

from appliance.tally.records import CAPACITY

LOOKBACK = 2 * CAPACITY
"""Ids below the last one that the journal is asked for at start; older ones when one of them turns up."""


@dataclass(frozen=True)
class IdRange:
    """Trigger ids of one camera, both ends included."""

    first: int
    last: int


class JournalledTriggers(Protocol):
    """What a journal knows of triggers. Asked at start, and for ids older than `LOOKBACK`: it may read the disk."""

    @property
    def oldest_seq(self) -> int:
        """The oldest row's sequence number; more than 1 once retention has taken some."""

    def triggers(self, ledger_epoch: str, camera: str, first_id: int) -> set[int]:
        """Give the ids from `first_id` on that have a record of their own or lie in a recorded range."""

    def last_trigger(self, ledger_epoch: str, camera: str) -> int | None:
        """Give the highest of them."""


class RecordedTriggers:
    """One camera's triggers that have a record, within one ledger epoch.

    Attributes:
        accounted_to: Every id up to it has a record, or had one before retention took it.
    """

    def __init__(self, journal: JournalledTriggers, ledger_epoch: str, camera: str) -> None:
        self._journal, self._epoch, self._camera = journal, ledger_epoch, camera
        last = journal.last_trigger(ledger_epoch, camera) or 0
        self._known_from = max(1, last - LOOKBACK)
        self._ids = journal.triggers(ledger_epoch, camera, self._known_from) if last else set()
        is_trimmed = journal.oldest_seq > 1  # an id below the oldest row may have been in one that is gone
        self._started_at = min(self._ids, default=last + 1) - 1 if is_trimmed else self._known_from - 1
        self.accounted_to = self._started_at
        self._older: set[int] = set()
        self._settle()

    def __contains__(self, trigger_id: int) -> bool:
        if trigger_id > self._started_at:
            return trigger_id <= self.accounted_to or trigger_id in self._ids
        if trigger_id < self._known_from:
            self._known_from = max(1, trigger_id - LOOKBACK)
            self._older = self._journal.triggers(self._epoch, self._camera, self._known_from)
        return trigger_id in self._older

    def add(self, trigger_id: int) -> None:
        """A record is on its way; after a restart the journal tells what became of it."""
        if trigger_id > self.accounted_to:
            self._ids.add(trigger_id)
            self._settle()
        elif trigger_id <= self._started_at:
            self._older.add(trigger_id)

    def add_range(self, ids: IdRange) -> None:
        """A record of a whole range is on its way."""
        if ids.first == self.accounted_to + 1:
            self.accounted_to = ids.last  # it may be millions long
        else:
            self._ids.update(range(ids.first, ids.last + 1))
        self._settle()

    def missing(self, first_id: int, last_id: int) -> list[IdRange]:
        """Find the ids without a record, as ranges in ascending order."""
        start = max(first_id, self.accounted_to + 1)
        ranges: list[IdRange] = []
        for number in [*sorted(each for each in self._ids if start <= each <= last_id), last_id + 1]:
            if number > start:
                ranges.append(IdRange(start, number - 1))
            start = number + 1
        return ranges

    def _settle(self) -> None:
        while self.accounted_to + 1 in self._ids:
            self.accounted_to += 1
            self._ids.discard(self.accounted_to)
