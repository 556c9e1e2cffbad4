"""Everything that must get a row: what the spool holds, then what the tally files tell beyond it."""

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from appliance.clock import NS_PER_MS, NS_PER_S, rfc3339
from appliance.config import ApplianceConfig
from appliance.messages import inspection_record, range_record, verdict_message
from appliance.records.journal import Journal
from appliance.records.reconcile import CameraAudit, IdRange, Untold, complete, outcomes
from appliance.records.spans import INSPECTIONS
from appliance.tally import SpoolEntry, SpoolReader, ledger_epoch
from appliance.tally.spool import BESIDE, MAIN, SPOOLS

log = logging.getLogger(__name__)

_GRACE_NS = NS_PER_S  # from decision to spool lies one turn of the publisher's loop
_AUDIT_PERIOD_NS = 500 * NS_PER_MS
_LOOKBACK = 20_000  # rows; a spool segment holds some hundred records, and few are on their way at a time
_RANGE_DETAILS = {
    "unrecorded": "announced before a power loss, or never: nothing of them is left",
    "lost_range": "decided, but for too long neither spool nor journal had room: nothing else of them is left",
}

ADDITIONS = ("late_finding", "shadow_finding", "model_event", "drift_event")
"""Kinds of records that close no trigger."""
AdditionKey = tuple[str, str, str, int, str]
"""Ledger epoch and kind of an addition; then camera, trigger id and view, or recipe, event id and event."""


@dataclass
class Intaken:
    """A record on its way into the journal.

    Attributes:
        entry: Where it stands in the spool; None: built from the tally files.
        is_backlog: It was decided before this recorder ran.
    """

    record: dict[str, Any]
    entry: SpoolEntry | None = None
    is_backlog: bool = False


class Intake:
    """Takes each record once, whatever died in between. Single-threaded; reads the runtime directory only.

    Attributes:
        ledger_epoch: The running one.
        is_at_end: Whether the last `take` found the end of the spool.
        duplicates: Spool entries that were journalled already.
        unreadable: Spool entries that hold no record: never, unless somebody else writes there.
        recovered: Records built from the tally files.
        ranges: Records of ranges of ids.
    Raises:
        TallyError: The ledger's epoch can't be read.
    """

    def __init__(self, config: ApplianceConfig, journal: Journal) -> None:
        self._config = config
        self._journal = journal
        self.ledger_epoch = ledger_epoch(config.state_dir)
        self._spools = {name: SpoolReader(config.runtime_dir, name) for name in SPOOLS}
        self._recorded = journal.closed()
        self._additions: set[AdditionKey] | None = None
        self._audits = [CameraAudit(config.runtime_dir, camera.name, self.ledger_epoch) for camera in config.cameras]
        self._simulated = {camera.name: camera.replayed_folder is not None for camera in config.cameras}
        self._started_ns = time.monotonic_ns()
        self._is_backlog = True
        self.is_at_end = False
        self._read_to_end_ns = 0
        self._audit_due_ns = 0
        self.duplicates = self.unreadable = self.recovered = self.ranges = 0

    # -- the spool

    def take(self, limit: int) -> list[Intaken]:
        """Take the next records from the spool, at most `limit`."""
        now_ns = time.monotonic_ns()
        entries = self._spools[MAIN].read(limit)
        if len(entries) < limit:
            self._read_to_end_ns = now_ns
            for name in BESIDE:
                entries += self._spools[name].read(limit - len(entries))
        self.is_at_end = len(entries) < limit
        taken = [item for entry in entries if (item := self._open(entry)) is not None]
        if self.is_at_end:
            self._is_backlog = False
        return taken

    def done(self, items: Sequence[Intaken]) -> None:
        """These are journalled: the spool may forget them."""
        for item in items:
            if item.entry is not None:
                self._spools[item.entry.spool].done(item.entry)

    # -- the tally files

    def audit(self, now_ns: int, *, is_publisher_there: bool) -> list[Intaken]:
        """When it is time, and the spool is read to its end: find what the publisher decided and could not spool.

        Args:
            is_publisher_there: It may have been stopped between deciding and spooling: then only what it decided
                before its last complete turn is looked at.
        Raises:
            TallyError: A tally file is foreign.
        """
        if now_ns < self._audit_due_ns or not self.is_at_end:
            return []
        self._audit_due_ns = now_ns + _AUDIT_PERIOD_NS
        told_ns = self._read_to_end_ns - _GRACE_NS
        if is_publisher_there:
            told_ns = min(told_ns, self._last_publisher_turn_ns())
        found = {each.camera: each.look(self._recorded, told_ns) for each in self._audits}
        items: list[Intaken] = []
        for camera, audit in found.items():
            items += [self._range("unrecorded", camera, ids) for ids in audit.older]
            items += [self._range("lost_range", camera, ids) for ids in audit.overrun]
        return items + self._recover(complete(found.values()))

    def status(self) -> dict[str, Any]:
        """Say what came in, besides the ordinary."""
        return {
            "spool_bytes": sum(spool.backlog_bytes for spool in self._spools.values()),
            "torn": sum(spool.torn for spool in self._spools.values()),
            "duplicates": self.duplicates,
            "unreadable": self.unreadable,
            "recovered": self.recovered,
            "ranges": self.ranges,
        }

    def close(self) -> None:
        """Close all files."""
        for spool in self._spools.values():
            spool.close()
        for camera in self._audits:
            camera.close()

    # -- inside

    def _open(self, entry: SpoolEntry) -> Intaken | None:
        try:
            record = json.loads(entry.body)
            is_new = self._note(record)
        except (ValueError, KeyError, TypeError) as error:
            log.error("spool segment %d holds no record (%r): %.80r", entry.segment, error, entry.body)  # noqa: TRY400
            self.unreadable += 1
            is_new = False
        else:
            self.duplicates += not is_new
        if is_new:
            return Intaken(record, entry, self._is_backlog)
        self._spools[entry.spool].done(entry)
        return None

    def _note(self, record: dict[str, Any]) -> bool:
        """Remember that a record is on its way; tells whether it is the first one."""
        epoch: str = record["ledger_epoch"]
        if record["kind"] in ADDITIONS:
            return self._note_addition(record)
        inspection: int = record["inspection_id"]
        triggers = [(view["camera"], view["trigger_id"]) for view in record["views"]]
        claims = [(INSPECTIONS, inspection), *triggers]
        if any(self._recorded.has(epoch, camera, number) for camera, number in claims):
            return False
        for camera, number in claims:
            self._recorded.add(epoch, camera, number, number)
        return True

    def _note_addition(self, record: dict[str, Any]) -> bool:
        """The same for what closes nothing: the journal's last rows tell what is there already."""
        if not self._is_backlog:
            return True
        if self._additions is None:
            self._additions = _last_additions(self._journal)
        key = addition_key(record)
        is_new = key not in self._additions
        self._additions.add(key)
        return is_new

    def _last_publisher_turn_ns(self) -> int:
        try:
            said = json.loads((self._config.runtime_dir / "status.publish.json").read_bytes())
            return int(said["at_monotonic_ns"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _range(self, kind: Literal["unrecorded", "lost_range"], camera: str, ids: IdRange) -> Intaken:
        first, last = ids
        self._recorded.add(self.ledger_epoch, camera, first, last)
        self.ranges += 1
        detail = _RANGE_DETAILS[kind]
        log.error("camera %s: triggers %d to %d: %s", camera, first, last, detail)
        record = range_record(
            kind,
            line=self._config.line,
            station=self._config.station,
            ledger_epoch=self.ledger_epoch,
            camera=camera,
            first_trigger_id=first,
            last_trigger_id=last,
            detail=detail,
            is_simulated=self._simulated[camera],
            recorded_at=rfc3339(time.time_ns()),
        )
        return Intaken(record)

    def _recover(self, untold: Sequence[Untold]) -> list[Intaken]:
        items = []
        for outcome, was_sent in outcomes(
            untold, line=self._config.line, station=self._config.station, ledger_epoch=self.ledger_epoch
        ):
            record = inspection_record(outcome, verdict_message(outcome), was_sent=was_sent, is_recovered=True)
            if self._note(record):
                items.append(Intaken(record, is_backlog=outcome.decided_ns < self._started_ns))
                self.recovered += 1
            else:  # its inspection has a record that doesn't know this view: it can't have a second one
                items += [
                    self._range("lost_range", view.camera, (view.trigger.trigger_id,) * 2) for view in outcome.views
                ]
        if items:
            log.warning("%d records were not spooled; written from the tally files", len(items))
        return items


def addition_key(record: dict[str, Any]) -> AdditionKey:
    """Name a record that closes no trigger."""
    epoch, kind = record["ledger_epoch"], record["kind"]
    if kind == "model_event":
        return epoch, kind, record["recipe"]["name"], record["event_id"], record["event"]
    if kind == "drift_event":
        return epoch, kind, record["camera"], record["event_id"], record["event"]
    return epoch, kind, record["camera"], record["trigger_id"], record["view"]


def _last_additions(journal: Journal) -> set[AdditionKey]:
    """Find such records among the last rows: what the spool still holds can't be older."""
    found: set[AdditionKey] = set()
    marks = tuple(f'"kind":"{kind}"'.encode() for kind in ADDITIONS)
    with contextlib.closing(journal.reader()) as reader:
        first = max(journal.oldest_seq, journal.head_seq - _LOOKBACK + 1)
        while rows := reader.read(first, journal.head_seq):
            found |= {addition_key(json.loads(body)) for _, body in rows if any(mark in body for mark in marks)}
            first = rows[-1][0] + 1
    return found
