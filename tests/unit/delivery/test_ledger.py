"""The ledger against a model, through real files, with publishers that die at any moment."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.delivery.assembly import PartPlan
from appliance.delivery.ledger import Ledger
from appliance.messages import Finding, Reason, Trigger, VerdictWord
from appliance.tally import AnnouncedWriter, count

CAMERAS = ("left", "right")
DEADLINE_NS = 100_000_000
MARGIN_NS = 5_000_000


PLAN = PartPlan({"name": "r", "sha256": "ab"}, DEADLINE_NS, MARGIN_NS)


class OneTriggerOnePart:
    """Rules of a line without announcements, and of one recipe without views."""

    def see(self, camera: str, trigger: Trigger) -> None:
        pass

    def plan(self, camera: str, trigger: Trigger) -> PartPlan:
        return PLAN

    def claim(self, camera: str, trigger: Trigger, inspection_id: int) -> None:
        return None


def close_as_the_kernel_does(ledger: Ledger) -> None:
    """Close descriptors and nothing else: no checkpoint, no farewell."""
    for book in ledger._books.values():
        book._announced.close()
        if book.decided is not None:
            book.decided._file.close()
    ledger._inspection_ids.close()
    ledger._verdict_seqs.close()


class LedgerMachine(RuleBasedStateMachine):
    """Announces, answers, amends, lets time pass and kills the publisher, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.pens = {camera: AnnouncedWriter(self.folder, self.folder / "state", camera) for camera in CAMERAS}
        self.now_ns = 1_000_000_000
        self.announced: dict[tuple[str, int], Trigger] = {}
        self.sent: dict[tuple[str, int], tuple[VerdictWord, int]] = {}
        self.given_ids: set[int] = set()
        self.answers: dict[tuple[str, int], VerdictWord] = {}
        self.ledger = self._new_ledger()

    def _new_ledger(self) -> Ledger:
        return Ledger(self.folder, self.folder / "state", CAMERAS, OneTriggerOnePart())

    @rule(camera=st.sampled_from(CAMERAS), reason=st.sampled_from([Reason.NONE, Reason.NONE, Reason.LOST_FRAME]))
    def announce(self, camera: str, reason: Reason) -> None:
        pen = self.pens[camera]
        trigger = Trigger(trigger_id=pen.next_trigger_id, exposed_ns=self.now_ns, reason=reason)
        pen.announce(trigger)
        self.announced[camera, trigger.trigger_id] = trigger

    @precondition(lambda self: self.announced)
    @rule(data=st.data(), verdict=st.sampled_from(list(VerdictWord)))
    def answer(self, data: st.DataObject, verdict: VerdictWord) -> None:
        camera, trigger_id = data.draw(st.sampled_from(sorted(self.announced)))
        reason = Reason.IMAGE_INVALID if verdict is VerdictWord.UNKNOWN else Reason.NONE
        self.ledger.take_announced()
        self.ledger.answer(Finding(camera, trigger_id, verdict, reason, recipe_sha256="ab"))

    @precondition(lambda self: self.announced)
    @rule(data=st.data())
    def amend(self, data: st.DataObject) -> None:
        camera, trigger_id = data.draw(st.sampled_from(sorted(self.announced)))
        trigger = self.announced[camera, trigger_id]
        self.pens[camera].amend(Trigger(trigger_id=trigger_id, exposed_ns=trigger.exposed_ns, reason=Reason.RING_FULL))
        self.ledger.amend(camera, trigger_id)

    @rule(camera=st.sampled_from(CAMERAS))
    def grabber_dies(self, camera: str) -> None:
        self.ledger.orphan(camera)

    @rule(ms=st.integers(1, 150))
    def time_passes(self, ms: int) -> None:
        self.now_ns += ms * 1_000_000

    @rule(dies_before_sending=st.booleans())
    def publisher_step(self, dies_before_sending: bool) -> None:
        self.ledger.take_announced()
        for inspection in self.ledger.due(self.now_ns):
            verdict = self.ledger.decide(inspection, Reason.LATE, self.now_ns)
            assert verdict.verdict_seq not in self.given_ids, "a verdict_seq was used twice"
            self.given_ids.add(verdict.verdict_seq)
            if dies_before_sending:
                self.publisher_is_killed()
                return
            for view in inspection.views:
                key = (view.camera, view.trigger.trigger_id)
                if verdict.is_sent:
                    assert key not in self.sent, "two messages for one inspection"
                    assert self.now_ns < inspection.deadline_ns - MARGIN_NS // 2, "sent too late to arrive in time"
                    self.sent[key] = (verdict.verdict, self.now_ns)
                if verdict.verdict is VerdictWord.OK:
                    assert view.finding is not None, "OK without a finding"
                    assert view.finding.verdict is VerdictWord.OK

    @rule()
    def publisher_is_killed(self) -> None:
        close_as_the_kernel_does(self.ledger)
        self.ledger = self._new_ledger()

    @invariant()
    def every_trigger_has_one_state(self) -> None:
        for camera in CAMERAS:
            counts = count(self.folder, camera)
            assert counts.invariant_holds
            assert counts.triggers == sum(of_camera == camera for of_camera, _ in self.announced)

    def teardown(self) -> None:
        self.now_ns += 10 * DEADLINE_NS
        self.publisher_step(dies_before_sending=False)
        assert all(count(self.folder, camera).open == 0 for camera in CAMERAS), "open past its deadline"
        self.ledger.close()
        for pen in self.pens.values():
            pen.close()
        shutil.rmtree(self.folder)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_an_ok_that_comes_within_the_margin_is_no_ok_any_more(tmp_path: Path) -> None:
    pen = AnnouncedWriter(tmp_path, tmp_path / "state", "left")
    exposed_ns = 1_000_000_000
    pen.announce(Trigger(trigger_id=pen.next_trigger_id, exposed_ns=exposed_ns))
    ledger = Ledger(tmp_path, tmp_path / "state", CAMERAS, OneTriggerOnePart())
    ledger.take_announced()
    ledger.answer(Finding("left", pen.next_trigger_id - 1, VerdictWord.OK, recipe_sha256="ab"))
    [inspection] = ledger.due(exposed_ns)
    verdict = ledger.decide(inspection, Reason.LATE, exposed_ns + DEADLINE_NS - MARGIN_NS)
    assert (verdict.verdict, verdict.reason, verdict.is_sent) == (VerdictWord.UNKNOWN, Reason.LATE, True)
    ledger.close()
    pen.close()


@pytest.mark.parametrize(("before_deadline_ns", "is_sent"), [(MARGIN_NS // 2 + 1, True), (MARGIN_NS // 2, False)])
def test_a_reject_is_sent_in_the_first_half_of_the_margin_only(
    tmp_path: Path, before_deadline_ns: int, is_sent: bool
) -> None:
    pen = AnnouncedWriter(tmp_path, tmp_path / "state", "left")
    exposed_ns = 1_000_000_000
    pen.announce(Trigger(trigger_id=pen.next_trigger_id, exposed_ns=exposed_ns))
    ledger = Ledger(tmp_path, tmp_path / "state", CAMERAS, OneTriggerOnePart())
    ledger.take_announced()
    now_ns = exposed_ns + DEADLINE_NS - before_deadline_ns
    [inspection] = ledger.due(now_ns)
    verdict = ledger.decide(inspection, Reason.LATE, now_ns)
    assert (verdict.verdict, verdict.is_sent) == (VerdictWord.UNKNOWN, is_sent)
    ledger.close()
    pen.close()
