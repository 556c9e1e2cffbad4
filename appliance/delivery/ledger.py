"""The ledger: every announced trigger gets exactly one terminal state.

    announced ──take_announced──▶ open ──answer, amend, clock──▶ due ──decide──▶ decided (file) ──▶ sent at most once

A verdict is given as soon as all views are answered, and at `deadline - send_margin` at the latest. Deciding is one
write that also says whether a message follows; the message follows once, or never (killed in between): absence means
reject. What a killed publisher left open is decided by its successor; past its deadline nothing is sent.

A part of several views has one write per trigger. The first of them is its decision: a successor that finds it writes
the others the same, and sends nothing. A view that is announced after its part was decided gets the part's state too.
"""

import heapq
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.delivery.assembly import Assembler, PartPlan, opening
from appliance.delivery.camera_book import CameraBook
from appliance.delivery.inspection import Ending, Inspection
from appliance.delivery.parts import Announcement
from appliance.messages import Finding, Reason, Trigger, VerdictWord
from appliance.tally import Decision, IdBlock, ledger_epoch

log = logging.getLogger(__name__)


class PartRules(Protocol):
    """What the ledger asks about each trigger, in the order of their reading."""

    def see(self, camera: str, trigger: Trigger) -> None:
        """A trigger that isn't decided was read, for the first time in this process."""

    def plan(self, camera: str, trigger: Trigger) -> PartPlan:
        """The plan of a part whose first trigger this is."""

    def claim(self, camera: str, trigger: Trigger, inspection_id: int) -> Announcement | None:
        """The part announced for a trigger."""


@dataclass(frozen=True)
class Verdict:
    """An inspection's end. `is_sent` says whether the caller must send it now: once, and never again."""

    inspection: Inspection
    verdict_seq: int
    verdict: VerdictWord
    reason: Reason
    is_sent: bool
    decided_ns: int


class Ledger:
    """Open inspections of all cameras, and the pens that close them. Single-threaded.

    Attributes:
        late_findings: Findings that came after their verdict.
        late_views: Triggers that were decided as their part had been, because they came after its verdict.
    Raises:
        TallyError: Files foreign, or directories not writable.
    """

    def __init__(self, runtime_dir: Path, state_dir: Path, cameras: Sequence[str], rules: PartRules) -> None:
        self.epoch = ledger_epoch(state_dir)
        self._rules = rules
        self._books = {camera: CameraBook(runtime_dir, camera, self.epoch) for camera in cameras}
        self._open: dict[tuple[str, int], Inspection] = {}
        self._deadlines: list[tuple[int, int, Inspection]] = []
        self._ripe: dict[int, Inspection] = {}
        self._parts = Assembler[Inspection]()
        self._inspection_ids = _Counter(IdBlock(state_dir, "inspection"))
        self._verdict_seqs = _Counter(IdBlock(state_dir, "verdict"))
        self._recall_ids()
        self._recall_parts()
        for counter in (self._inspection_ids, self._verdict_seqs):
            counter.prepare()
        self.late_findings = 0
        self.late_views = 0

    # -- what comes in

    def reopen(self, camera: str) -> None:
        """A grabber has (re)connected: look at its file again."""
        self._books[camera].reopen()

    def take_announced(self) -> None:
        """Give every newly announced trigger its place in an inspection, across cameras in order of exposure."""
        readers = [_named(camera, book) for camera, book in self._books.items()]
        in_order = readers[0] if len(readers) == 1 else heapq.merge(*readers, key=lambda one: one[1].exposed_ns)
        for camera, trigger in in_order:
            self._rules.see(camera, trigger)
            found = self._parts.find(camera, trigger.exposed_ns) if self._parts else None
            if found is None:
                self._open_inspection(camera, trigger)
            elif found[0].ending is None:
                self._join(found[0], camera, trigger, found[1])
            else:
                self._follow(found[0], found[0].ending, camera, trigger, found[1])

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

    def last_trigger(self, camera: str) -> Trigger | None:
        """The trigger of a camera that was announced last; reads the whole file: for the start."""
        return self._books[camera].last_trigger()

    def place(self, camera: str, trigger_id: int) -> Inspection | Decision | None:
        """Where a trigger is: open, decided (None also when too long ago), or not announced yet."""
        inspection = self._open.get((camera, trigger_id))
        if inspection is not None:
            return inspection
        pen = self._books[camera].decided
        return pen.read(trigger_id) if pen is not None else None

    def has_passed(self, camera: str, trigger_id: int) -> bool:
        """Whether a trigger was read already, or will never come."""
        return self._books[camera].has_passed(trigger_id)

    @property
    def cameras(self) -> list[str]:
        """Names of all cameras."""
        return list(self._books)

    def has_camera(self, camera: str) -> bool:
        """Whether a camera of this name is configured."""
        return camera in self._books

    @property
    def has_open(self) -> bool:
        """Whether any trigger waits for its verdict."""
        return bool(self._open)

    # -- what goes out

    def open_inspections(self) -> list[Inspection]:
        """All open inspections, oldest first."""
        return sorted({id(each): each for each in self._open.values()}.values(), key=lambda each: each.inspection_id)

    def due(self, now_ns: int) -> list[Inspection]:
        """Take the inspections that must be decided now: fully answered, or at the end of their time."""
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            woken_ns, number, inspection = heapq.heappop(self._deadlines)
            if woken_ns < inspection.speak_at_ns and self._is_open(inspection):
                self._give_up_missing(inspection)
            else:
                self._ripe[number] = inspection
        ripe, self._ripe = self._ripe, {}
        return [each for each in ripe.values() if self._is_open(each)]

    def next_deadline_ns(self) -> int | None:
        """When `due` will have something without anything coming in; None when nothing is open."""
        while self._deadlines and not self._is_open(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def decide(
        self, inspection: Inspection, silent_because: Reason, now_ns: int, *, overruled_by: Reason | None = None
    ) -> Verdict:
        """Close an inspection: one write per trigger, final. Send the verdict if, and only if, it says so.

        Args:
            silent_because: Reason of a view that has no answer.
            overruled_by: Makes the verdict UNKNOWN for this reason, whatever was found.
        """
        verdict, reason = inspection.verdict(silent_because)
        if overruled_by is not None:
            verdict, reason = VerdictWord.UNKNOWN, overruled_by
        elif verdict is VerdictWord.OK and now_ns >= inspection.speak_at_ns:
            # Within the margin an OK might reach the controller after the deadline; a reject may come late, an OK not.
            verdict, reason = VerdictWord.UNKNOWN, Reason.LATE
        is_sent = now_ns < inspection.latest_send_ns(verdict)
        ending = Ending(self._verdict_seqs.take(), verdict, reason, is_sent=is_sent)
        inspection.ending = ending
        for camera, trigger, number in inspection.triggers():
            del self._open[camera, trigger.trigger_id]
            self._write(inspection, ending, camera, trigger.trigger_id, exposure=number, now_ns=now_ns)
        return Verdict(inspection, ending.verdict_seq, verdict, reason, ending.is_sent, now_ns)

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
        plan = self._rules.plan(camera, trigger)
        first = opening(plan, camera, trigger.exposed_ns)
        inspection = Inspection(self._inspection_ids.take(), plan, first.part_ns)
        if first.exposure is not None:
            self._parts.forget(trigger.exposed_ns)
            self._parts.add(inspection)
        self._wake(inspection, inspection.complete_at_ns)
        self._join(inspection, camera, trigger, first.exposure)

    def _join(self, inspection: Inspection, camera: str, trigger: Trigger, exposure: int | None) -> None:
        self._open[camera, trigger.trigger_id] = inspection
        inspection.add(camera, trigger, exposure)
        if inspection.announcement is None:
            inspection.announcement = self._rules.claim(camera, trigger, inspection.inspection_id)
        self._look_at(inspection)

    def _follow(self, inspection: Inspection, ending: Ending, camera: str, trigger: Trigger, exposure: int) -> None:
        """A view that comes after its part's verdict ends as the part did; nothing is sent."""
        inspection.taken.add(exposure)
        self.late_views += 1
        now_ns = time.monotonic_ns()
        self._write(inspection, ending, camera, trigger.trigger_id, exposure=exposure, now_ns=now_ns)

    def _write(
        self, inspection: Inspection, ending: Ending, camera: str, trigger_id: int, *, exposure: int | None, now_ns: int
    ) -> None:
        decided = self._books[camera].decided
        assert decided is not None, "an open trigger was read from a book that has a pen"
        decided.decide(
            Decision(
                trigger_id=trigger_id,
                inspection_id=inspection.inspection_id,
                verdict_seq=ending.verdict_seq,
                verdict=ending.verdict,
                reason=ending.reason,
                is_sent=ending.is_sent,
                decided_ns=now_ns,
                deadline_ns=inspection.deadline_ns,
                part_ns=inspection.part_ns if exposure is not None else 0,
                exposure=exposure or 0,
            )
        )

    def _give_up_missing(self, inspection: Inspection) -> None:
        """The part had to be complete by now; what views it has may still be answered."""
        inspection.is_given_up = bool(inspection.missing_views)
        self._wake(inspection, inspection.speak_at_ns)
        self._look_at(inspection)

    def _wake(self, inspection: Inspection, at_ns: int) -> None:
        heapq.heappush(self._deadlines, (at_ns, inspection.inspection_id, inspection))

    def _look_at(self, inspection: Inspection) -> None:
        if inspection.is_complete:
            self._ripe[inspection.inspection_id] = inspection

    def _is_open(self, inspection: Inspection) -> bool:
        return inspection.ending is None

    def _recall_ids(self) -> None:
        """Go on after the ids of a predecessor of this boot; without complete files, at the reserved limit."""
        pens = [book.decided for book in self._books.values()]
        if all(pen is not None and pen.was_resumed for pen in pens):
            highest = [pen.highest_ids() for pen in pens if pen is not None]
            self._inspection_ids.next = max(inspection for inspection, _ in highest) + 1
            self._verdict_seqs.next = max(sequence for _, sequence in highest) + 1

    def _recall_parts(self) -> None:
        """Learn the parts of several views that a predecessor decided, or was deciding when it was killed."""
        known: dict[int, Inspection] = {}
        for camera, book in self._books.items():
            for trigger, decision in book.recent_decisions():
                plan = self._rules.plan(camera, trigger) if decision.part_ns else None
                if plan is None or decision.exposure >= len(plan.exposures):
                    continue
                number = decision.inspection_id
                if number not in known:
                    ending = Ending(decision.verdict_seq, decision.verdict, decision.reason, decision.is_sent)
                    known[number] = Inspection(number, plan, decision.part_ns, ending=ending)
                    self._parts.add(known[number])
                known[number].taken.add(decision.exposure)


def _named(camera: str, book: CameraBook) -> Iterator[tuple[str, Trigger]]:
    return ((camera, trigger) for trigger in book.new_triggers())


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
