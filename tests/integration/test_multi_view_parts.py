"""Parts of several views through a real publisher: two cameras, two regions, a kill between two writes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.messages import Reason, Trigger, VerdictWord
from appliance.tally import DecidedWriter, Decision, ledger_epoch
from appliance.testing.line_stand import DEADLINE_MS, LineStand, recipe_text

MS = 1_000_000
VIEWS = """
[[views]]
name = "tab1"
camera = "left"
region_px = [0, 0, 100, 100]
[[views]]
name = "tab2"
camera = "left"
region_px = [100, 0, 200, 100]
[[views]]
name = "back"
camera = "right"
"""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStand]:
    with stand_in(tmp_path_factory.mktemp("views")) as stand:
        stand.connect()
        yield stand


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[LineStand]:
    with stand_in(tmp_path, complete_within_ms=150) as stand:
        stand.connect()
        yield stand


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LineStand]:
    with stand_in(tmp_path) as stand:
        stand.connect()
        yield stand


def stand_in(folder: Path, *, complete_within_ms: float = 1900) -> LineStand:
    top = f"complete_within_ms = {complete_within_ms}\nassembly_window_ms = 20"
    recipe = recipe_text("a", top=top, tables=VIEWS)
    return LineStand(folder, cameras=("left", "right"), recipes={"a": recipe})


def expose(stand: LineStand, *, right: bool = True) -> tuple[Trigger, Trigger | None]:
    exposed_ns = time.monotonic_ns()
    other = stand.announce("right", exposed_ns=exposed_ns + 5 * MS) if right else None
    return stand.announce("left", exposed_ns=exposed_ns), other


def test_two_cameras_and_two_regions_are_one_part_with_one_verdict(stand: LineStand) -> None:
    left, right = expose(stand)
    assert right is not None
    stand.find("right", right, view="back")
    stand.find("left", left, view="tab2", ng=True)
    stand.find("left", left, view="tab1")
    verdict = stand.next_verdict()
    assert verdict["verdict"] == "NG"
    views = [(view["view"], view["camera"], view["trigger_id"]) for view in verdict["views"]]
    assert views == [
        ("tab1", "left", left.trigger_id),
        ("tab2", "left", left.trigger_id),
        ("back", "right", right.trigger_id),
    ]
    states = [stand.decision("left", left), stand.decision("right", right)]
    assert {state.inspection_id for state in states if state} == {verdict["inspection_id"]}


def test_a_camera_that_misses_the_part_costs_an_unknown_with_its_reason_in_time(hasty: LineStand) -> None:
    left, _ = expose(hasty, right=False)
    for view in ("tab1", "tab2"):
        hasty.find("left", left, view=view)
    verdict = hasty.next_verdict()
    assert (verdict["verdict"], verdict["reason"]) == ("UNKNOWN", "view_missing")
    assert 145 < verdict["stage_ms"]["total"] < DEADLINE_MS / 2
    late = hasty.announce("right", exposed_ns=left.exposed_ns + 3 * MS)
    hasty.until(lambda: hasty.decision("right", late))
    decision = hasty.decision("right", late)
    assert decision is not None
    assert (decision.inspection_id, decision.reason) == (verdict["inspection_id"], Reason.VIEW_MISSING)
    assert hasty.lane.receive(0.1) is None or hasty.verdicts[-1] == verdict


def test_parts_in_flight_are_kept_apart(stand: LineStand) -> None:
    seen = len(stand.verdicts)
    start_ns = time.monotonic_ns()
    lefts = [stand.announce("left", exposed_ns=start_ns + number * 50 * MS) for number in range(3)]
    rights = [stand.announce("right", exposed_ns=start_ns + (number * 50 + 8) * MS) for number in range(3)]
    for number in (2, 0, 1):
        stand.find("right", rights[number], view="back", ng=number == 1)
        for view in ("tab2", "tab1"):
            stand.find("left", lefts[number], view=view)
    stand.until(lambda: len(stand.verdicts) == seen + 3)
    told = {verdict["views"][0]["trigger_id"]: verdict["verdict"] for verdict in stand.verdicts[seen:]}
    assert told == {lefts[0].trigger_id: "OK", lefts[1].trigger_id: "NG", lefts[2].trigger_id: "OK"}


def test_a_part_may_be_named_by_any_of_its_triggers(stand: LineStand) -> None:
    next_id = stand.pens["right"].next_trigger_id
    bind = {"trigger": {"camera": "right", "trigger_id": next_id}}
    assert stand.status_of("part.set", bind=bind, part_id="P-1") == "ok"
    left, right = expose(stand)
    assert right is not None
    stand.find("right", right, view="back")
    for view in ("tab1", "tab2"):
        stand.find("left", left, view=view)
    assert stand.next_verdict()["part_id"] == "P-1"


def test_killed_between_two_writes_the_rest_is_closed_alike_and_never_sent_again(fresh: LineStand) -> None:
    left, right = expose(fresh)
    assert right is not None
    fresh.find("right", right, view="back")
    for view in ("tab1", "tab2"):
        fresh.find("left", left, view=view)
    assert fresh.next_verdict()["verdict"] == "OK"
    first = fresh.decision("left", left)
    assert first is not None
    fresh.kill()
    left, right = expose(fresh)
    assert right is not None
    write_one_of_two(fresh, left, first)
    fresh.start()
    fresh.until(lambda: fresh.decision("right", right))
    decisions = [fresh.decision("left", left), fresh.decision("right", right)]
    assert [each.inspection_id for each in decisions if each] == [first.inspection_id + 1] * 2
    assert [each.verdict for each in decisions if each] == [VerdictWord.OK] * 2
    assert [each.verdict_seq for each in decisions if each] == [first.verdict_seq + 1] * 2
    fresh.connect()
    assert len(fresh.verdicts) == 1


def write_one_of_two(stand: LineStand, left: Trigger, before: Decision) -> None:
    """What a publisher had done that was killed before its second write."""
    epoch = ledger_epoch(stand.config.state_dir)
    pen = DecidedWriter(stand.config.runtime_dir, "left", epoch, 1)
    pen.decide(
        Decision(
            trigger_id=left.trigger_id,
            inspection_id=before.inspection_id + 1,
            verdict_seq=before.verdict_seq + 1,
            verdict=VerdictWord.OK,
            reason=Reason.NONE,
            is_sent=True,
            decided_ns=time.monotonic_ns(),
            deadline_ns=left.exposed_ns + DEADLINE_MS * MS,
            part_ns=left.exposed_ns,
            exposure=0,
        )
    )
    pen._file.close()
