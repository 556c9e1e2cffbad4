"""Which images nobody will ever ask for: their rows were lost with the power, before they were committed.

A recorder that was merely killed finds its records in the spool again, and with them their images.
"""

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.clock import NS_PER_S
from appliance.records.journal import Journal
from appliance.records.spans import INSPECTIONS, IdSpans
from appliance.records.sweep import Swept, sweep
from appliance.tally import SpoolReader

_LOOK_BACK = timedelta(hours=2)  # before the last row; an image waits for its row for seconds
_FIRST_ENTRIES = 256
_DISORDER = 1000  # inspections that may be decided later than one with a higher id; a power loss skips thousands


def sweep_leftovers(root: Path, journal: Journal, runtime_dir: Path, ledger_epoch: str) -> Swept:
    """Remove half-written images, and those whose record can't come any more. Before anything is written there.

    Args:
        root: `state_dir/images`.
        ledger_epoch: The running one; images of another one with no row are leftovers in any case.
    """
    waiting = _first_waiting(runtime_dir, ledger_epoch)
    known = _KnownStems(journal.closed(), ledger_epoch, waiting, is_blank=journal.head_seq == 0)
    return sweep(root, known, _last_row_at(journal) - _LOOK_BACK)


class _KnownStems:
    """Stems of images whose inspection has a row, or may get one: it may wait in the spool."""

    def __init__(self, closed: IdSpans, ledger_epoch: str, first_waiting: int | None, *, is_blank: bool) -> None:
        self._closed, self._epoch, self._first_waiting, self._is_blank = closed, ledger_epoch, first_waiting, is_blank

    def __contains__(self, stem: object) -> bool:
        epoch, _, rest = str(stem).rpartition("/")[2].partition("-")
        number = rest.partition("-")[0]
        if self._is_blank or not number.isdigit():
            return True  # a new journal knows nothing of the images of the one that was moved away; or not ours
        may_come = epoch == self._epoch and self._first_waiting is not None and int(number) >= self._first_waiting
        return may_come or self._closed.has(epoch, INSPECTIONS, int(number))


def _first_waiting(runtime_dir: Path, ledger_epoch: str) -> int | None:
    """Lowest inspection id that may still be in the spool; None when the spool is empty."""
    with contextlib.closing(SpoolReader(runtime_dir)) as spool:
        records = [json.loads(entry.body) for entry in spool.read(_FIRST_ENTRIES)]
    ids = [each["inspection_id"] for each in records if each.get("ledger_epoch") == ledger_epoch and "image" in each]
    return min(ids) - _DISORDER if ids else None


def _last_row_at(journal: Journal) -> datetime:
    rows = journal.read(journal.head_seq, journal.head_seq) if journal.head_seq else []
    if not rows:
        return datetime.fromtimestamp(time.time_ns() / NS_PER_S, UTC)
    record = json.loads(rows[0][1])
    return datetime.fromisoformat(record.get("captured_at") or record["recorded_at"])
