"""What a result stream yields, and the cursor by which a consumer finds its place again."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Cursor:
    """The last item a consumer has dealt with; stored by the consumer, together with what it made of the items.

    Attributes:
        epoch: The journal's life: changes only when the journal is made anew.
        seq: Journal sequence number; 0 stands before the first result.
    """

    epoch: str
    seq: int


@dataclass(frozen=True)
class Result:
    """One durable result.

    Attributes:
        epoch: Epoch of the journal.
        seq: Its number in the journal: dense, from 1.
        body: The record, JSON, as it stands in the journal.
    """

    epoch: str
    seq: int
    body: bytes

    @property
    def cursor(self) -> Cursor:
        """What to store with this item."""
        return Cursor(self.epoch, self.seq)

    @cached_property
    def record(self) -> dict[str, Any]:
        """The record, decoded; its names are in `appliance/contracts/record.json`."""
        record: dict[str, Any] = json.loads(self.body)
        return record


@dataclass(frozen=True)
class RangeLost:
    """Results this consumer has not had and can never get: retention has removed them. The stream goes on behind."""

    epoch: str
    first_seq: int
    last_seq: int

    @property
    def cursor(self) -> Cursor:
        """What to store with this item."""
        return Cursor(self.epoch, self.last_seq)


@dataclass(frozen=True)
class JournalRecreated:
    """The journal was made anew: numbers start over in another epoch; what stood behind `previous` is gone."""

    previous: Cursor
    epoch: str

    @property
    def cursor(self) -> Cursor:
        """What to store with this item."""
        return Cursor(self.epoch, 0)


StreamItem = Result | RangeLost | JournalRecreated
