import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance import seqpacket
from appliance.config import Recipe
from appliance.delivery.assembly import PartPlan
from appliance.delivery.control_desk import ControlDesk
from appliance.delivery.ledger import Ledger
from appliance.delivery.line_rules import LineRules
from appliance.delivery.line_state import LineState
from appliance.delivery.model_desk import LEAD_NS, Answer, ModelDesk, ModelEvent
from appliance.delivery.notes import NoteFile
from appliance.delivery.peer import Peer
from appliance.delivery.plan_talk import PlanTalk
from appliance.delivery.recipes import RecipeBook, RecipeShelf
from appliance.messages import Finding, ModelIdentity, ModelRef, Reason, VerdictWord
from appliance.messages.control import ControlStatus, ModelActivate
from appliance.messages.plan import PlanReport, PlanState, decode_plans
from appliance.rollout import ChoicesFile, ModelChoice, read_audit, read_choices
from appliance.rollout.choices import ChosenModel
from appliance.testing.patience import PATIENCE_S

MS = 1_000_000
SHA = {"one": "1" * 64, "two": "2" * 64, "three": "3" * 64}
ONE, TWO = ModelRef("one", SHA["one"]), ModelRef("two", SHA["two"])


def recipe(*, falls_back: bool) -> Recipe:
    evidence = {"mean_grey_min": 1, "mean_grey_max": 254, "sharpness_min": 0}
    content = {"name": "a", "version": 1, "model": "one", "deadline_ms": 300, "evidence": evidence}
    rules = {"classes": {"x": {"score": 0.5}}, "fall_back_to_previous_model": falls_back}
    return Recipe.model_validate(content | rules)


class Bench:
    """A desk with its notes and choices on disk, and the inspector played by the test."""

    def __init__(self, folder: Path, *, falls_back: bool = False) -> None:
        self.folder, self.falls_back = folder, falls_back
        self.events: list[ModelEvent] = []
        self.answers: list[Answer] = []
        self.states: dict[str, PlanState] = dict.fromkeys(SHA, PlanState.READY)
        self.now_ns = time.monotonic_ns()
        self.open()

    def open(self) -> None:
        """Start, also again after a kill."""
        reference = {"name": "a", "version": 1, "sha256": "sha-a"}
        plan = PartPlan(reference, 300 * MS, 10 * MS, model_errors_to_fail=2, falls_back=self.falls_back)
        book = RecipeBook(RecipeShelf("a", {"a": plan}, {"a": recipe(falls_back=self.falls_back)}))
        self.notes = NoteFile(self.folder, "epoch")
        self.rules = LineRules(self.notes, book, count_camera="cam0", count_tolerance_ms=100)
        self.rules.compact()
        self.desk = ModelDesk(self.folder, self.rules, self.events.append)
        self.desk.take_over(self.now_ns)

    def close(self) -> None:
        self.desk.close()
        self.notes.close()

    def activate(self, model: str) -> None:
        content = {"request": "model.activate", "recipe": "a", "model": model, "contract_sha256": SHA[model]}
        self.desk.activate(ModelActivate.model_validate(content), "test", self.now_ns, self.answers.append)

    def turn(self, *, is_told: bool = True) -> None:
        """One turn of the publisher's loop."""
        self.now_ns += 10 * MS
        reports = self.reports()
        self.desk.learn(reports)
        self.desk.step(reports, self.now_ns)
        self.desk.move_missed(self.now_ns)
        if is_told:
            self.desk.has_told(self.rules.recipes.models.untold())

    def reports(self) -> list[PlanReport]:
        """What the inspector says of every model."""
        refs = [ModelRef("one"), *(ModelRef(name, sha) for name, sha in SHA.items())]
        return [PlanReport("sha-a", ref, self.states[ref.name], self.identity(ref), "boom") for ref in refs]

    def until(self, is_so: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end
            self.turn()
            time.sleep(0.001)

    def identity(self, ref: ModelRef) -> ModelIdentity:
        return ModelIdentity(ref.name, "f" * 64, ref.contract_sha256 or SHA[ref.name])

    def hear(self, trigger_id: int, reason: Reason = Reason.MODEL_ERROR, model: ModelRef = TWO) -> None:
        word = VerdictWord.UNKNOWN if reason else VerdictWord.OK
        self.desk.heard(Finding("cam0", trigger_id, word, reason, model=self.identity(model)))

    @property
    def in_use(self) -> ModelRef:
        model = self.rules.recipes.models.at("a", self.now_ns + 10 * LEAD_NS)
        return ModelRef(model.name, model.contract_sha256 or SHA[model.name])

    @property
    def statuses(self) -> list[Any]:
        return [status for status, _, _ in self.answers]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_a_change_is_durable_and_noted_before_it_is_answered(bench: Bench) -> None:
    bench.turn()
    bench.activate("two")
    bench.until(lambda: bench.answers)
    assert bench.statuses == [ControlStatus.OK]
    assert read_choices(bench.folder).recipes["a"].model.ref == TWO
    change = bench.rules.recipes.models.newest("a")
    assert change is not None
    assert bench.now_ns < change.from_ns <= bench.now_ns + LEAD_NS
    assert [event.word for event in bench.events] == ["activated"]
    assert [entry.what for entry in read_audit(bench.folder)] == ["activated"]
    bench.close()
    bench.open()
    assert bench.rules.recipes.models.newest("a") == change, "a successor keeps the moment"


def test_who_asks_again_while_it_loads_is_answered_too_and_another_wish_is_refused(bench: Bench) -> None:
    bench.states["two"] = PlanState.LOADING
    bench.turn()
    bench.activate("two")
    bench.turn()
    bench.activate("two")
    bench.activate("three")
    assert bench.statuses == [ControlStatus.REFUSED]
    bench.states["two"] = PlanState.READY
    bench.until(lambda: len(bench.answers) == 3)
    assert bench.statuses[1:] == [ControlStatus.OK] * 2
    bench.activate("two")
    assert bench.statuses[-1] is ControlStatus.DUPLICATE


def test_a_model_that_can_not_be_loaded_leaves_no_trace(bench: Bench) -> None:
    bench.states["two"] = PlanState.FAILED
    bench.activate("two")
    bench.turn()
    assert bench.answers == [(ControlStatus.REFUSED, "model two: boom", {})]
    assert bench.in_use == ONE
    assert not read_choices(bench.folder).recipes
    assert not list(read_audit(bench.folder))


def test_a_moment_that_nobody_heard_of_is_moved_and_answered_for_when_it_is_final(bench: Bench) -> None:
    bench.turn()
    bench.activate("two")
    end = time.monotonic() + PATIENCE_S
    while not bench.rules.recipes.models.untold():
        assert time.monotonic() < end
        bench.turn(is_told=False)
        time.sleep(0.001)
    for _ in range(20):
        bench.turn(is_told=False)
    assert (bench.answers, bench.events) == ([], [])
    bench.turn()
    assert bench.rules.recipes.models.untold() == []
    change = bench.rules.recipes.models.newest("a")
    assert change is not None
    assert change.from_ns > bench.now_ns
    assert [(event.word, event.from_ns) for event in bench.events] == [("activated", change.from_ns)]
    assert bench.statuses == [ControlStatus.OK]


def test_a_publisher_that_stood_still_tells_a_moment_that_lies_ahead(bench: Bench) -> None:
    """From its last look at the clock to the telling more than the whole lead goes by."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ledger = Ledger(bench.folder, bench.folder, ["cam0"], bench.rules)
    desk = ControlDesk(ledger, bench.rules, LineState(), bench.desk, dict)
    talk = PlanTalk(bench.rules, desk, bench.desk)
    theirs.setblocking(False)
    with ours, theirs, contextlib.closing(ledger):
        peer = Peer(ours, role="inspector", reports=bench.reports())
        bench.desk.learn(peer.reports)
        bench.activate("two")
        end = time.monotonic() + PATIENCE_S
        while not bench.answers:
            assert time.monotonic() < end
            began_ns = time.monotonic_ns()
            talk.step(peer, began_ns - 3 * LEAD_NS)
        change = bench.rules.recipes.models.newest("a")
        assert change is not None
        for message in seqpacket.drain_messages(theirs):
            from_ns = {plan.model: plan.spans[0][0] for plan in decode_plans(message) if plan.spans}.get(TWO)
        assert from_ns == change.from_ns
        assert began_ns < from_ns - LEAD_NS, "a lead ahead of the very telling"


def test_a_choice_that_is_newer_than_the_notes_is_carried_out_after_a_restart(bench: Bench) -> None:
    bench.close()
    file = ChoicesFile(bench.folder)
    choice = ModelChoice(model=ChosenModel.of(TWO), recipe_model="one", since="2026-11-23T00:00:00Z", by="test")
    file.write(file.read().with_choice("a", choice))
    file.close()
    bench.open()
    (change,) = bench.rules.recipes.models.untold()
    assert (change.model, change.from_ns > bench.now_ns) == (TWO, True)
    assert bench.rules.recipes.models.at("a", bench.now_ns).name == "one", "what was exposed before is not concerned"


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_failed_model_gives_way_once_and_only_where_that_is_approved(tmp_path: Path, is_approved: bool) -> None:
    bench = Bench(tmp_path, falls_back=is_approved)
    try:
        bench.turn()
        bench.activate("two")
        bench.until(lambda: bench.answers)
        bench.hear(1)
        bench.turn()
        assert bench.desk.hindrance is None
        bench.hear(2)
        assert "fails" in str(bench.desk.hindrance)
        bench.turn()
        assert bench.in_use == (ONE if is_approved else TWO)
        assert (bench.desk.hindrance is None) is is_approved
        if is_approved:
            bench.close()  # killed before the disk had it, or after: a successor knows
            bench.open()
            assert bench.in_use == ONE
            bench.until(lambda: read_choices(tmp_path).recipes["a"].model.ref == ONE)
            choice = read_choices(tmp_path).recipes["a"]
            assert choice.fell_back_from is not None
            assert (choice.fell_back_from.ref, choice.previous) == (TWO, None)
            bench.hear(3, model=ONE)
            bench.hear(4, model=ONE)
            bench.turn()
            assert bench.in_use == ONE, "there is no second fallback"
            assert bench.desk.hindrance is not None
        else:
            bench.hear(3, Reason.NONE)
            assert bench.desk.hindrance is None
    finally:
        bench.close()
