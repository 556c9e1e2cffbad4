"""The ledger: every announced trigger gets exactly one terminal state.

    announced ──take_announced──▶ open ──answer, amend, clock──▶ due ──decide──▶ decided (file) ──▶ sent at most once

A verdict is given as soon as all views are answered, and at `deadline - send_margin` at the latest. Deciding is one
write that also says whether a message follows; the message follows once, or never (killed in between): absence means
reject. What a killed publisher left open is decided by its successor; past its deadline nothing is sent.
"""

import heapq
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.clock import NS_PER_MS
from appliance.delivery.inspection import Inspection
from appliance.messages import Finding, Reason, Trigger, VerdictWord, View
from appliance.tally import AnnouncedReader, DecidedWriter, Decision, IdBlock, ledger_epoch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """An inspection's end. `is_sent` says whether the caller must send it now: once, and never again."""

    inspection: Inspection
    verdict_seq: int
    verdict: VerdictWord
    reason: Reason
    is_sent: bool
    decided_ns: int


class _CameraBook:
    """One camera's two files, and where we are in the first one."""

    def __init__(self, runtime_dir: Path, camera: str, epoch: str) -> None:
        self._runtime_dir, self._camera, self._epoch = runtime_dir, camera, epoch
        self._announced = AnnouncedReader(runtime_dir, camera)
        self.decided: DecidedWriter | None = None
        self._next_id = 0
        self._first_id: int | None = None
        self.reopen()

    def reopen(self) -> None:
        """Look whether the grabber has made a (new) file."""
        first_id = self._announced.reopen()
        if first_id is None or self._announced.epoch != self._epoch or first_id == self._first_id:
            return
        if self.decided is not None:
            self.decided.close()
        self._first_id = first_id
        self.decided = DecidedWriter(self._runtime_dir, self._camera, self._epoch, first_id)
        self._next_id = self.decided.settled_id + 1

    def new_triggers(self) -> Iterator[Trigger]:
        """Yield triggers that were announced since the last call and are not decided."""
        if self.decided is None:
            self.reopen()
        while self.decided is not None and (trigger := self._announced.read(self._next_id)) is not None:
            self._next_id += 1
            if self.decided.read(trigger.trigger_id) is None:
                yield trigger

    def reread(self, trigger_id: int) -> Trigger | None:
        return self._announced.read(trigger_id)

    def close(self) -> None:
        self._announced.close()
        if self.decided is not None:
            self.decided.close()


class Ledger:
    """Open inspections of all cameras, and the pens that close them. Single-threaded.

    Args:
        deadline_ms: From exposure to the moment after which a verdict is worthless (the recipe's).
        send_margin_ms: How long before the deadline a verdict is given at the latest.
    Raises:
        TallyError: Files foreign, or directories not writable.
    """

    def __init__(
        self, runtime_dir: Path, state_dir: Path, cameras: Sequence[str], *, deadline_ms: float, send_margin_ms: float
    ) -> None:
        self.epoch = ledger_epoch(state_dir)
        self._deadline_ns = int(deadline_ms * NS_PER_MS)
        self._margin_ns = int(send_margin_ms * NS_PER_MS)
        self._books = {camera: _CameraBook(runtime_dir, camera, self.epoch) for camera in cameras}
        self._open: dict[tuple[str, int], Inspection] = {}
        self._deadlines: list[tuple[int, int, Inspection]] = []
        self._ripe: dict[int, Inspection] = {}
        self._inspection_ids = _Counter(IdBlock(state_dir, "inspection"))
        self._verdict_seqs = _Counter(IdBlock(state_dir, "verdict"))
        self._recall_ids()
        for counter in (self._inspection_ids, self._verdict_seqs):
            counter.prepare()
        self.late_findings = 0

    # -- what comes in

    def reopen(self, camera: str) -> None:
        """A grabber has (re)connected: look at its file again."""
        self._books[camera].reopen()

    def take_announced(self) -> None:
        """Open an inspection for every newly announced trigger."""
        for camera, book in self._books.items():
            for trigger in book.new_triggers():
                self._open_inspection(camera, trigger)

    def amend(self, camera: str, trigger_id: int) -> None:
        """Read an announced trigger again: its grabber has learned why no finding will come."""
        inspection, trigger = self._open.get((camera, trigger_id)), self._books[camera].reread(trigger_id)
        if inspection is not None and trigger is not None:
            inspection.amend(camera, trigger)
            self._look_at(inspection)

    def answer(self, finding: Finding) -> bool:
        """Take a finding; one that comes after the verdict is counted and changes nothing: False."""
        inspection = self._open.get((finding.camera, finding.trigger_id))
        if inspection is None:
            self.late_findings += 1
            return False
        inspection.answer(finding)
        self._look_at(inspection)
        return True

    def reread(self, camera: str, trigger_id: int) -> Trigger | None:
        """Read an announced trigger; None when there is none such (any more)."""
        book = self._books.get(camera)
        return book.reread(trigger_id) if book is not None else None

    def orphan(self, camera: str) -> None:
        """A grabber died: its open triggers may still be answered; those that aren't will say so."""
        for (of_camera, trigger_id), inspection in self._open.items():
            if of_camera == camera:
                inspection.orphans.add((camera, trigger_id))

    # -- what goes out

    def open_inspections(self) -> list[Inspection]:
        """All open inspections, oldest first."""
        return sorted({id(each): each for each in self._open.values()}.values(), key=lambda each: each.inspection_id)

    def due(self, now_ns: int) -> list[Inspection]:
        """Take the inspections that must be decided now: fully answered, or at the end of their time."""
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            _, number, inspection = heapq.heappop(self._deadlines)
            self._ripe[number] = inspection
        ripe, self._ripe = self._ripe, {}
        return [each for each in ripe.values() if self._is_open(each)]

    def next_deadline_ns(self) -> int | None:
        """When `due` will have something without anything coming in; None when nothing is open."""
        while self._deadlines and not self._is_open(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def decide(self, inspection: Inspection, silent_because: Reason, now_ns: int) -> Verdict:
        """Close an inspection: one write per view, final. Send the verdict if, and only if, it says so."""
        verdict, reason = inspection.verdict(silent_because)
        sequence = self._verdict_seqs.take()
        is_sent = now_ns < inspection.deadline_ns
        for view in inspection.views:
            trigger_id = view.trigger.trigger_id
            del self._open[view.camera, trigger_id]
            decided = self._books[view.camera].decided
            assert decided is not None, "an open trigger was read from a book that has a pen"
            decided.decide(
                Decision(
                    trigger_id,
                    inspection.inspection_id,
                    sequence,
                    verdict,
                    reason,
                    is_sent,
                    now_ns,
                    inspection.deadline_ns,
                )
            )
        return Verdict(inspection, sequence, verdict, reason, is_sent, now_ns)

    @property
    def verdict_seq(self) -> int:
        """The sequence number given last; 0 before the first."""
        return self._verdict_seqs.next - 1

    def open_count(self, camera: str) -> int:
        """Open triggers of one camera."""
        return sum(of_camera == camera for of_camera, _ in self._open)

    def close(self) -> None:
        """Close all files."""
        for book in self._books.values():
            book.close()
        self._inspection_ids.close()
        self._verdict_seqs.close()

    # -- inside

    def _open_inspection(self, camera: str, trigger: Trigger) -> None:
        deadline_ns = trigger.exposed_ns + self._deadline_ns
        number = self._inspection_ids.take()
        inspection = Inspection(number, deadline_ns, deadline_ns - self._margin_ns, [View(camera, trigger)])
        self._open[camera, trigger.trigger_id] = inspection
        heapq.heappush(self._deadlines, (inspection.speak_at_ns, number, inspection))
        self._look_at(inspection)

    def _look_at(self, inspection: Inspection) -> None:
        if inspection.is_complete:
            self._ripe[inspection.inspection_id] = inspection

    def _is_open(self, inspection: Inspection) -> bool:
        first = inspection.views[0]
        return self._open.get((first.camera, first.trigger.trigger_id)) is inspection

    def _recall_ids(self) -> None:
        """Go on after the ids of a predecessor of this boot; without complete files, at the reserved limit."""
        pens = [book.decided for book in self._books.values()]
        if all(pen is not None and pen.was_resumed for pen in pens):
            highest = [pen.highest_ids() for pen in pens if pen is not None]
            self._inspection_ids.next = max(inspection for inspection, _ in highest) + 1
            self._verdict_seqs.next = max(sequence for _, sequence in highest) + 1


class _Counter:
    """Counts up within durably reserved blocks."""

    def __init__(self, block: IdBlock) -> None:
        self._block = block
        self.next = block.fresh_start

    def prepare(self) -> None:
        """Reserve the first block now: a disk must not be waited for between a deadline and its verdict."""
        self._block.ensure(self.next)

    def take(self) -> int:
        number = self.next
        self._block.ensure(number)
        self._block.reserve_ahead(number)
        self.next = number + 1
        return number

    def close(self) -> None:
        self._block.close()
