"""Which parts of a line are still on their way when its books are closed: to the wire, or to the MES."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.testing.faults.witness import Heard

Trigger = tuple[str, str, int]
"""Ledger epoch, camera, trigger id."""


def unheard(heard: Iterable[Heard], first_pulse: int, last_pulse: int) -> set[int]:
    """Pulses from the first to the last that no message speaks of."""
    return set(range(first_pulse, last_pulse + 1)) - {each.pulse for each in heard}


class UnrecordedParts:
    """Triggers that were heard of and have no record, however far the recorder is behind.

    Args:
        last_pulse: Later ones are none of ours.
    """

    def __init__(self, heard: Iterable[Heard], last_pulse: int) -> None:
        messages = [each.message for each in heard if each.pulse is not None and each.pulse <= last_pulse]
        self._left = {trigger for message in messages for trigger in _triggers(message)}
        self._read = 0

    def left(self, rows: Sequence[Mapping[str, Any]]) -> set[Trigger]:
        """Those that have no row yet.

        Args:
            rows: As read so far, in order: each time the same ones and new ones behind them.
        """
        for row in rows[self._read :]:
            self._left.difference_update(_triggers(row))
        self._read = len(rows)
        return self._left


def _triggers(row: Mapping[str, Any]) -> Iterable[Trigger]:
    """Those of a message's or a record's views, or of a record of a range; of other records none."""
    if row.get("camera") is not None and "first_trigger_id" in row:
        ids = range(row["first_trigger_id"], row["last_trigger_id"] + 1)
        return [(row["ledger_epoch"], row["camera"], number) for number in ids]
    return [(row["ledger_epoch"], view["camera"], view["trigger_id"]) for view in row.get("views", ())]
