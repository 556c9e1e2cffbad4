"""Parts of several views: grouped in any order, one verdict each, whatever dies between two writes."""

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from appliance.delivery.assembly import REMEMBER_NS, Exposure, PartPlan
from appliance.delivery.inspection import Inspection
from appliance.delivery.ledger import Ledger
from appliance.messages import Finding, Reason, Trigger, VerdictWord
from appliance.tally import AnnouncedWriter, DecidedReader, Decision, count

MS = 1_000_000
CAMERAS = ("left", "right")
PLAN = PartPlan(
    {"name": "r", "sha256": "ab"},
    deadline_ns=300 * MS,
    speak_before_ns=5 * MS,
    exposures=(Exposure("left", 0, ("tab1", "tab2")), Exposure("right", 0, ("back",))),
    window_ns=20 * MS,
    complete_ns=100 * MS,
)


class TwoCameras:
    """Rules of a line whose parts have three views in two frames."""

    def see(self, camera: str, trigger: Trigger) -> None:
        pass

    def plan(self, camera: str, trigger: Trigger) -> PartPlan:
        return PLAN

    def claim(self, camera: str, trigger: Trigger, inspection_id: int) -> None:
        return None


class Killed(Exception):
    """The publisher was killed here."""


class MortalLedger(Ledger):
    """Dies before its n-th write."""

    writes_left: int | None = None

    def _write(self, *arguments: object, **named: object) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Killed
            self.writes_left -= 1
        super()._write(*arguments, **named)  # type: ignore[arg-type]


def close_as_the_kernel_does(ledger: Ledger) -> None:
    for book in ledger._books.values():
        book._announced.close()
        if book.decided is not None:
            book.decided._file.close()
    ledger._inspection_ids.close()
    ledger._verdict_seqs.close()


class Bench:
    """Two announcing pens and a ledger; time is the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ns = 1_000 * MS
        self.pens = {camera: AnnouncedWriter(folder, folder / "state", camera) for camera in CAMERAS}
        self.sent: dict[int, VerdictWord] = {}
        self.ledger = MortalLedger(folder, folder / "state", CAMERAS, TwoCameras())

    def expose(self, camera: str, at_ns: int | None = None, reason: Reason = Reason.NONE) -> int:
        pen = self.pens[camera]
        trigger = Trigger(pen.next_trigger_id, self.now_ns if at_ns is None else at_ns, reason=reason)
        pen.announce(trigger)
        return trigger.trigger_id

    def find(self, camera: str, trigger_id: int, view: str, verdict: VerdictWord = VerdictWord.OK) -> bool:
        reason = Reason.MODEL_ERROR if verdict is VerdictWord.UNKNOWN else Reason.NONE
        return self.ledger.answer(Finding(camera, trigger_id, verdict, reason, view=view, recipe_sha256="ab"))

    def step(self) -> list[tuple[VerdictWord, Reason]]:
        self.ledger.take_announced()
        given = []
        for inspection in self.ledger.due(self.now_ns):
            verdict = self.ledger.decide(inspection, Reason.LATE, self.now_ns)
            if verdict.is_sent:
                assert inspection.inspection_id not in self.sent, "two messages for one part"
                self.sent[inspection.inspection_id] = verdict.verdict
            given.append((verdict.verdict, verdict.reason))
        return given

    def is_killed(self) -> None:
        close_as_the_kernel_does(self.ledger)
        self.ledger = MortalLedger(self.folder, self.folder / "state", CAMERAS, TwoCameras())

    def decisions(self) -> dict[tuple[str, int], Decision]:
        found = {}
        for camera, pen in self.pens.items():
            reader = DecidedReader(self.folder, camera)
            reader.totals()
            for trigger_id in range(1, pen.next_trigger_id):
                decision = reader.read(trigger_id)
                if decision is not None:
                    found[camera, trigger_id] = decision
            reader.close()
        return found

    def close(self) -> None:
        self.ledger.close()
        for pen in self.pens.values():
            pen.close()


@pytest.fixture
def bench(tmp_path: Path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def answer_all(bench: Bench, left: int, right: int, worst: VerdictWord = VerdictWord.OK) -> None:
    bench.ledger.take_announced()
    bench.find("right", right, "back")
    bench.find("left", left, "tab2", worst)
    bench.find("left", left, "tab1")


def test_all_views_make_one_verdict_in_the_recipes_order(bench: Bench) -> None:
    right, left = bench.expose("right"), bench.expose("left")
    bench.ledger.take_announced()
    (inspection,) = bench.ledger.open_inspections()
    assert [view.name for view in inspection.views] == ["tab1", "tab2", "back"]
    answer_all(bench, left, right)
    assert bench.step() == [(VerdictWord.OK, Reason.NONE)]
    assert len({decision.inspection_id for decision in bench.decisions().values()}) == 1


def test_one_bad_region_rejects_the_part(bench: Bench) -> None:
    left, right = bench.expose("left"), bench.expose("right")
    answer_all(bench, left, right, VerdictWord.NG)
    assert bench.step() == [(VerdictWord.NG, Reason.NONE)]


def test_a_missing_region_or_view_waits_and_is_never_ok(bench: Bench) -> None:
    left = bench.expose("left")
    bench.ledger.take_announced()
    bench.find("left", left, "tab1")
    assert bench.step() == []
    bench.find("left", left, "tab2")
    assert bench.step() == []
    bench.now_ns += 99 * MS
    assert bench.step() == []
    bench.now_ns += MS
    assert bench.step() == [(VerdictWord.UNKNOWN, Reason.VIEW_MISSING)]


def test_a_part_without_all_its_views_is_ng_if_one_is(bench: Bench) -> None:
    left = bench.expose("left")
    bench.ledger.take_announced()
    bench.find("left", left, "tab1", VerdictWord.NG)
    bench.find("left", left, "tab2")
    bench.now_ns += 100 * MS
    assert bench.step() == [(VerdictWord.NG, Reason.NONE)]


def test_after_the_completeness_deadline_findings_are_still_waited_for(bench: Bench) -> None:
    left = bench.expose("left")
    bench.step()
    bench.now_ns += 150 * MS
    assert bench.step() == []
    bench.find("left", left, "tab1", VerdictWord.NG)
    bench.find("left", left, "tab2")
    assert bench.step() == [(VerdictWord.NG, Reason.NONE)]


def test_a_silent_inspector_is_answered_for_at_the_deadline(bench: Bench) -> None:
    bench.expose("left")
    bench.expose("right")
    bench.step()
    bench.now_ns += 294 * MS
    assert bench.step() == []
    bench.now_ns += MS
    assert bench.step() == [(VerdictWord.UNKNOWN, Reason.LATE)]


def test_a_view_after_the_verdict_joins_the_parts_state_and_is_not_sent(bench: Bench) -> None:
    left = bench.expose("left")
    exposed_ns = bench.now_ns
    bench.ledger.take_announced()
    for view in ("tab1", "tab2"):
        bench.find("left", left, view)
    bench.now_ns += 100 * MS
    bench.step()
    right = bench.expose("right", exposed_ns + 5 * MS)
    assert bench.step() == []
    assert len(bench.sent) == 1
    first, late = (bench.decisions()[key] for key in (("left", left), ("right", right)))
    assert late.inspection_id == first.inspection_id
    assert (late.verdict, late.reason) == (VerdictWord.UNKNOWN, Reason.VIEW_MISSING)
    assert bench.ledger.late_views == 1
    assert not bench.find("right", right, "back")


def test_killed_between_two_writes_the_successor_closes_the_part_as_it_was(bench: Bench) -> None:
    left, right = bench.expose("left"), bench.expose("right")
    answer_all(bench, left, right)
    bench.ledger.writes_left = 1
    with pytest.raises(Killed):
        bench.step()
    bench.is_killed()
    assert bench.step() == []
    first, second = bench.decisions().values()
    assert first.inspection_id == second.inspection_id
    assert first.verdict_seq == second.verdict_seq
    assert {first.verdict, second.verdict} == {VerdictWord.OK}
    assert bench.sent == {}, "absence means reject"
    assert all(count(bench.folder, camera).open == 0 for camera in CAMERAS)


def test_a_finding_by_another_recipe_is_no_answer(bench: Bench) -> None:
    left, right = bench.expose("left"), bench.expose("right")
    answer_all(bench, left, right)
    (inspection,) = bench.ledger.open_inspections()
    assert isinstance(inspection, Inspection)
    bench.step()
    left, right = bench.expose("left", bench.now_ns + 100 * MS), bench.expose("right", bench.now_ns + 100 * MS)
    bench.ledger.take_announced()
    other = Finding("right", right, VerdictWord.OK, view="back", recipe_sha256="cd")
    assert bench.ledger.answer(other)
    for view in ("tab1", "tab2"):
        bench.find("left", left, view)
    bench.now_ns += 400 * MS
    assert bench.step() == [(VerdictWord.UNKNOWN, Reason.NOT_READY)]


class PartsMachine(RuleBasedStateMachine):
    """Parts pass, views are lost or come late, findings come or don't, the publisher dies before any write."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Path(tempfile.mkdtemp(prefix="views-")))
        self.part_of: dict[tuple[str, int], int] = {}
        self.withheld: list[tuple[str, int, int]] = []
        self.parts = 0

    @rule(late=st.sampled_from([None, "left", "right"]), jitter_ms=st.integers(-10, 10))
    def a_part_passes(self, late: str | None, jitter_ms: int) -> None:
        self.bench.now_ns += 50 * MS
        self.parts += 1
        for camera, shift_ms in zip(CAMERAS, (0, jitter_ms), strict=True):
            at_ns = self.bench.now_ns + shift_ms * MS
            if camera == late or any(one[0] == camera for one in self.withheld):
                self.withheld.append((camera, at_ns, self.parts))
            else:
                self.part_of[camera, self.bench.expose(camera, at_ns)] = self.parts

    @precondition(lambda self: self.withheld)
    @rule()
    def a_late_announcement_is_read(self) -> None:
        camera, at_ns, part = self.withheld.pop(0)
        self.part_of[camera, self.bench.expose(camera, at_ns)] = part

    @precondition(lambda self: self.part_of)
    @rule(which=st.lists(st.integers(0, 5), min_size=1, max_size=6))
    def findings_come(self, which: list[int]) -> None:
        """For some of the last exposures."""
        self.bench.ledger.take_announced()
        recent = list(self.part_of)[-6:]
        for camera, trigger_id in {recent[number % len(recent)] for number in which}:
            for view in ("tab1", "tab2") if camera == "left" else ("back",):
                self.bench.find(camera, trigger_id, view)

    @rule(ms=st.sampled_from([10, 100, 300]))
    def time_passes(self, ms: int) -> None:
        self.bench.now_ns += ms * MS

    @rule(dies_before_write=st.sampled_from([None, 0, 1, 1, 2, 3]))
    def step(self, dies_before_write: int | None) -> None:
        self.bench.ledger.writes_left = dies_before_write
        try:
            self.bench.step()
        except Killed:
            self.bench.is_killed()
        self.bench.ledger.writes_left = None

    def teardown(self) -> None:
        bench = self.bench
        while self.withheld:
            self.a_late_announcement_is_read()
        for _ in range(2):
            bench.now_ns += 400 * MS
            bench.step()
        states: dict[int, set[tuple[object, ...]]] = defaultdict(set)
        parts: dict[int, set[int]] = defaultdict(set)
        inspections: dict[int, set[int]] = defaultdict(set)
        is_remembered = bench.now_ns - 1_000 * MS < REMEMBER_NS
        decisions = bench.decisions()
        for key, part in self.part_of.items():
            decision = decisions[key]
            states[decision.inspection_id].add(
                (decision.verdict_seq, decision.verdict, decision.reason, decision.is_sent, decision.deadline_ns)
            )
            parts[decision.inspection_id].add(part)
            inspections[part].add(decision.inspection_id)
        assert all(len(each) == 1 for each in states.values()), "one part, two states"
        assert all(len(each) == 1 for each in parts.values()), "views of two parts in one inspection"
        assert not is_remembered or all(len(each) == 1 for each in inspections.values()), "one part, two inspections"
        for camera in CAMERAS:
            counts = count(bench.folder, camera)
            assert counts.invariant_holds
            assert counts.open == 0
        bench.close()
        shutil.rmtree(bench.folder)


TestParts = PartsMachine.TestCase
TestParts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
