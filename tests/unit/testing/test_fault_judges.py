"""The judges of a fault campaign see what they must see: for each promise, evidence in which it is broken."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.testing.faults import row_judge, wire_judge
from appliance.testing.faults.evidence import Episode, Evidence, Judgement, PulseTrain
from appliance.testing.faults.open_parts import UnrecordedParts, unheard
from appliance.testing.faults.plan import Fault, Kind
from appliance.testing.faults.witness import Heard, Presence
from appliance.testing.faults.world import World

MS = 1_000_000
TRAIN = PulseTrain(started_ns=1_000_000 * MS, period_ns=40 * MS)
WORLD = World(Path("images"), Path("models"), Path("recipe"), deadline_ms=300)
PARTS = 20


def message(pulse: int) -> dict[str, Any]:
    return {
        "ledger_epoch": "e",
        "inspection_id": 100 + pulse,
        "verdict_seq": 200 + pulse,
        "stage_ms": {"total": 20.0},
        "verdict": "NG" if WORLD.is_bad(pulse) else "OK",
        "views": [{"camera": "cam0", "trigger_id": 50 + pulse, "encoder_count": pulse, "frame_id": pulse + 1}],
    }


def row(pulse: int) -> dict[str, Any]:
    said = message(pulse)
    image = {"views": [{"path": "x", "sha256": ""}], "missing": []} if said["verdict"] == "NG" else None
    return {
        **said,
        "kind": "inspection",
        "epoch": "j",
        "seq": pulse + 1,
        "sent_verdict": said["verdict"],
        "image": image,
    }


def evidence() -> Evidence:
    """A line on which nothing went wrong."""
    heard = [Heard(TRAIN.rises_ns(pulse) + 20 * MS, message(pulse)) for pulse in range(PARTS)]
    rows = [row(pulse) for pulse in range(PARTS)]
    journal = [row(pulse) for pulse in range(PARTS)]
    bad = sum(WORLD.is_bad(pulse) for pulse in range(PARTS))
    books = {"triggers": PARTS, "ok": PARTS - bad, "ng": bad, "unknown": 0, "open": 0}
    return Evidence(WORLD, TRAIN, heard, rows=rows, journal=journal, books=books, rows_changed=[], last_pulse=PARTS - 1)


def judge(given: Evidence) -> Judgement:
    judgement = Judgement()
    wire_judge.judge_wire(given, judgement)
    row_judge.judge_rows(given, judgement)
    return judgement


def test_a_faultless_line_breaks_no_promise() -> None:
    judgement = judge(evidence())
    assert judgement.broken == {}
    assert judgement.figures["messages"] == judgement.figures["rows: inspection"] == PARTS


@dataclass(frozen=True)
class Case:
    """A change that breaks a promise."""

    promise: str
    change: Callable[[Evidence], object]


def drop_message(given: Evidence, pulse: int) -> None:
    del given.heard[pulse]  # type: ignore[attr-defined]


def set_in_row(given: Evidence, pulse: int, **values: Any) -> None:
    assert given.rows is not None
    given.rows[pulse].update(values)


CASES = {
    "two messages for one part": Case(
        wire_judge.AT_MOST_ONE, lambda given: given.heard.append(replace(given.heard[3]))
    ),
    "the same inspection id again": Case(
        wire_judge.AT_MOST_ONE, lambda given: given.heard[4].message.update(inspection_id=103)
    ),
    "a message after its deadline": Case(
        wire_judge.IN_TIME,
        lambda given: given.heard.__setitem__(3, Heard(TRAIN.rises_ns(3) + 301 * MS, message(3))),
    ),
    "OK for a bad part": Case(wire_judge.RIGHT, lambda given: given.heard[2].message.update(verdict="OK")),
    "silence without a reason": Case(wire_judge.NO_SILENCE, lambda given: drop_message(given, 5)),
    "verdict numbers that go back": Case(wire_judge.ORDER, lambda given: given.heard.reverse()),
    "a hole at the MES": Case(row_judge.NO_HOLES, lambda given: given.rows.pop(7)),
    "a row twice at the MES": Case(row_judge.NO_HOLES, lambda given: given.rows.append(given.rows[-1])),
    "two records for one inspection": Case(
        row_judge.ONCE, lambda given: set_in_row(given, 7, inspection_id=106, ledger_epoch="e")
    ),
    "a trigger with two terminal states": Case(
        row_judge.TERMINAL,
        lambda given: given.rows.append(
            {**unrecorded(55, 55), "epoch": "j", "seq": PARTS + 1},
        ),
    ),
    "a part nobody wrote down": Case(row_judge.EVERY_PART, lambda given: given.rows.pop()),
    "another verdict recorded than sent": Case(
        row_judge.FAITHFUL, lambda given: set_in_row(given, 3, sent_verdict="UNKNOWN")
    ),
    "sent, and recorded as silence": Case(row_judge.FAITHFUL, lambda given: set_in_row(given, 3, sent_verdict=None)),
    "OK sent for what is recorded as UNKNOWN": Case(
        row_judge.NEVER_OK, lambda given: set_in_row(given, 3, verdict="UNKNOWN")
    ),
    "sent and never recorded": Case(row_judge.RECORDED, lambda given: given.rows.pop(4)),
    "recorded OK for a bad part": Case(row_judge.TRUE, lambda given: set_in_row(given, 2, verdict="OK")),
    "an acknowledged row gone from the journal": Case(row_judge.NOTHING_LOST, lambda given: given.journal.pop(3)),
    "an acknowledged row changed in the journal": Case(
        row_judge.NOTHING_LOST, lambda given: given.journal[3].update(reason="late")
    ),
    "a row that replay gave in two versions": Case(row_judge.UNCHANGED, lambda given: given.rows_changed.append(3)),
    "counts that don't add up": Case(row_judge.BOOKS, lambda given: given.books.update(triggers=PARTS + 1)),
    "counts that the records contradict": Case(row_judge.BOOKS, lambda given: given.books.update(ok=5, ng=15)),
    "a rejected part without picture or reason": Case(
        row_judge.PICTURED, lambda given: set_in_row(given, 2, image=None)
    ),
}


def unrecorded(first: int, last: int) -> dict[str, Any]:
    return {
        "kind": "unrecorded",
        "ledger_epoch": "e",
        "camera": "cam0",
        "first_trigger_id": first,
        "last_trigger_id": last,
        "sent_verdict": None,
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_broken_promise_is_seen(case: Case) -> None:
    given = evidence()
    case.change(given)
    assert case.promise in judge(given).broken


@pytest.mark.parametrize("first", [0, 8], ids=["none before it has a record", "one before it has a record"])
def test_a_part_in_a_range_record_is_in_the_books(first: int) -> None:
    given = evidence()
    given.rows[first] = {**unrecorded(50 + first, 52 + first), "epoch": "j", "seq": first + 1}  # type: ignore[index]
    del given.rows[first + 1 : first + 3]  # type: ignore[attr-defined]
    assert row_judge.EVERY_PART not in judge(given).broken


@pytest.mark.parametrize(("victim", "is_excused"), [("publish", True), ("grab-cam0", True), ("inspect", False)])
def test_silence_is_excused_only_without_publisher_or_grabber(victim: str, is_excused: bool) -> None:
    given = evidence()
    drop_message(given, 5)
    fault = Fault(1, Kind.KILL, (victim,))
    killed_ns = TRAIN.rises_ns(5) + MS
    episode = Episode(fault, began_ns=killed_ns, released_ns=killed_ns, verdict_ns=killed_ns + 100 * MS)
    judgement = judge(replace(given, episodes=[episode]))
    assert (wire_judge.NO_SILENCE not in judgement.broken) is is_excused


def test_silence_long_after_the_recovery_is_not_excused() -> None:
    given = evidence()
    drop_message(given, 15)
    fault = Fault(1, Kind.KILL, ("publish",))
    episode = Episode(fault, TRAIN.rises_ns(2), TRAIN.rises_ns(2), verdict_ns=TRAIN.rises_ns(4))
    assert wire_judge.NO_SILENCE in judge(replace(given, episodes=[episode])).broken


@pytest.mark.parametrize(("gone_after_ms", "is_soon"), [(1450, True), (1900, False), (None, False)])
def test_a_stopped_publisher_must_be_noticed_soon(gone_after_ms: int | None, is_soon: bool) -> None:
    began_ns = TRAIN.rises_ns(2)
    episode = Episode(Fault(1, Kind.STOP, ("publish",)), began_ns, released_ns=began_ns + 2500 * MS)
    gone = [Presence(began_ns + gone_after_ms * MS, False)] if gone_after_ms is not None else []
    judgement = judge(replace(evidence(), episodes=[episode], presences=gone))
    assert (wire_judge.NOTICED not in judgement.broken) is is_soon


def test_every_part_that_was_heard_of_is_waited_for_however_far_its_record_is_behind() -> None:
    given = evidence()
    assert given.rows is not None
    parts = UnrecordedParts(given.heard, last_pulse=15)
    assert len(parts.left([])) == 16
    assert parts.left(given.rows[:3]) == {("e", "cam0", 50 + pulse) for pulse in range(3, 16)}
    rows = [*given.rows[:3], {**unrecorded(53, 60), "epoch": "j", "seq": 4}, *given.rows[11:15]]
    rows.append({"kind": "late_finding", "ledger_epoch": "e", "camera": "cam0", "trigger_id": 65})
    assert parts.left(rows) == {("e", "cam0", 65)}
    assert not parts.left([*rows, *given.rows[15:]])


def test_parts_without_a_message_are_named() -> None:
    given = evidence()
    drop_message(given, 5)
    assert unheard(given.heard, 0, PARTS) == {5, PARTS}
