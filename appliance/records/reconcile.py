"""What the tally files tell and no record does: found after the publisher, the recorder or the machine has died.

A trigger that stands in `announced` and `decided` has a record in the spool soon afterwards, unless the publisher was
killed in between or the spool was full. Its record is then written from the two files: no finding, but the verdict
that was decided, and whether it may have been sent. What the files no longer hold (a power loss, a window that was
overrun) becomes one record for the whole range of ids. An open trigger is left alone: the publisher decides it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from appliance.messages import Outcome, Trigger, View
from appliance.records.spans import IdSpans
from appliance.tally import AnnouncedReader, DecidedReader, Decision
from appliance.tally.records import CAPACITY

MOST_AT_ONCE = 1000
"""Triggers of one camera that one look finds; the next one goes on. A loop that answers others waits meanwhile."""

IdRange = tuple[int, int]
"""First and last trigger id of one camera."""


@dataclass(frozen=True)
class Untold:
    """A trigger that was decided and has no record."""

    camera: str
    trigger: Trigger
    decision: Decision


@dataclass
class Audit:
    """What one camera's files tell beyond its records.

    Attributes:
        older: Ids of an older file: another boot, or one that was taken away.
        overrun: Ids of this file that later ones have taken the place of.
        untold: Triggers with a decision to build a record from.
        oldest_open_ns: Exposure of the oldest trigger that is not decided, or not looked at; None: there is none.
    """

    older: list[IdRange] = field(default_factory=list)
    overrun: list[IdRange] = field(default_factory=list)
    untold: list[Untold] = field(default_factory=list)
    oldest_open_ns: int | None = None


def audit(
    camera: str,
    recorded: Iterable[IdRange],
    *,
    first_id: int,
    last_id: int,
    decided_before_ns: int,
    trigger_of: Callable[[int], Trigger | None],
    decision_of: Callable[[int], Decision | None],
) -> Audit:
    """Compare one camera's files with what is recorded; changes nothing.

    Args:
        recorded: Ids that have a record, journalled or on its way; ascending, disjoint.
        first_id: First id that can ever stand in the files.
        last_id: Highest id announced, `first_id - 1` when there is none.
        decided_before_ns: Younger decisions may still be on their way to the spool: left for the next time.
    """
    window_from = max(first_id, last_id - CAPACITY + 1)
    missing = gaps(recorded, last_id)
    found = Audit(clip(missing, 1, first_id - 1), clip(missing, first_id, window_from - 1))
    for number in chain.from_iterable(range(first, last + 1) for first, last in clip(missing, window_from, last_id)):
        trigger, decision = trigger_of(number), decision_of(number)
        is_enough = len(found.untold) >= MOST_AT_ONCE
        if trigger is not None and (decision is None or is_enough):
            found.oldest_open_ns = min(found.oldest_open_ns or trigger.exposed_ns, trigger.exposed_ns)
        elif trigger is not None and decision is not None and decision.decided_ns < decided_before_ns:
            found.untold.append(Untold(camera, trigger, decision))
        if is_enough:
            break
    return found


def complete(audits: Iterable[Audit]) -> list[Untold]:
    """Gather what all cameras' files tell, without parts of several views of which a view may still be open.

    A publisher that was killed between two views leaves the rest of the part to its successor.
    """
    audits = list(audits)
    oldest_open_ns = min((each.oldest_open_ns for each in audits if each.oldest_open_ns is not None), default=None)
    return [
        each
        for found in audits
        for each in found.untold
        if not each.decision.part_ns or oldest_open_ns is None or each.decision.decided_ns < oldest_open_ns
    ]


def gaps(recorded: Iterable[IdRange], last_id: int) -> list[IdRange]:
    """Give what lies between ranges, from 1 to `last_id`."""
    found: list[IdRange] = []
    start = 1
    for first, last in [*recorded, (last_id + 1, last_id + 1)]:
        if first > start:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return found


def clip(ranges: Iterable[IdRange], first_id: int, last_id: int) -> list[IdRange]:
    """Give the parts of ranges that lie between two ids, both included."""
    clipped = ((max(first, first_id), min(last, last_id)) for first, last in ranges)
    return [(first, last) for first, last in clipped if first <= last]


def outcomes(untold: Iterable[Untold], *, line: str, station: str, ledger_epoch: str) -> list[tuple[Outcome, bool]]:
    """Put triggers of one inspection together again; gives each with whether its verdict may have been sent."""
    inspections: dict[int, list[Untold]] = {}
    for each in untold:
        inspections.setdefault(each.decision.inspection_id, []).append(each)
    return [
        (_outcome(parts, line, station, ledger_epoch), any(each.decision.is_sent for each in parts))
        for _, parts in sorted(inspections.items())
    ]


def _outcome(parts: Sequence[Untold], line: str, station: str, ledger_epoch: str) -> Outcome:
    decision = parts[0].decision
    return Outcome(
        line=line,
        station=station,
        ledger_epoch=ledger_epoch,
        verdict_seq=decision.verdict_seq,
        inspection_id=decision.inspection_id,
        views=[View(each.camera, each.trigger) for each in parts],
        verdict=decision.verdict,
        reason=decision.reason,
        decided_ns=decision.decided_ns,
        deadline_ns=decision.deadline_ns,
    )


class CameraAudit:
    """One camera's tally files, as the recorder follows them."""

    def __init__(self, runtime_dir: Path, camera: str, ledger_epoch: str) -> None:
        self.camera = camera
        self._epoch = ledger_epoch
        self._announced = AnnouncedReader(runtime_dir, camera)
        self._decided = DecidedReader(runtime_dir, camera)

    def look(self, recorded: IdSpans, decided_before_ns: int) -> Audit:
        """Compare the files with the records, now.

        Raises:
            TallyError: A file is foreign.
        """
        first_id = self._announced.reopen()
        if first_id is None or self._announced.epoch != self._epoch:
            return Audit()  # no grabber has run since the machine started: nothing was announced
        self._decided.totals()  # looks whether the publisher has made a new file
        return audit(
            self.camera,
            ((first, last) for epoch, camera, first, last in recorded if (epoch, camera) == (self._epoch, self.camera)),
            first_id=first_id,
            last_id=self._announced.last_id() or first_id - 1,
            decided_before_ns=decided_before_ns,
            trigger_of=self._announced.read,
            decision_of=self._decided.read,
        )

    def close(self) -> None:
        """Close the files."""
        self._announced.close()
        self._decided.close()
