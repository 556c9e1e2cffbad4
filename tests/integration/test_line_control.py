"""What a line controller and a MES ask of a real publisher process, and what it answers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.messages import Reason
from appliance.messages.line import LineError
from appliance.testing.line_stand import DEADLINE_MS, LineStand, recipe_text
from appliance.testing.patience import PATIENCE_S

RECIPES = {"a": recipe_text("a", top="stop_after_rejects = 3")}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStand]:
    """One publisher for all tests that neither kill it nor hang up."""
    with LineStand(tmp_path_factory.mktemp("line"), recipes=RECIPES) as stand:
        stand.connect()
        yield stand


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LineStand]:
    with LineStand(tmp_path, recipes=RECIPES, count_tolerance_ms=400) as stand:
        stand.connect()
        yield stand


def test_the_line_is_ready_when_everybody_is_there(fresh: LineStand) -> None:
    state = fresh.until_state(ready=True)
    assert state["not_ready_because"] == []
    assert state["error_id"] == LineError.NONE
    assert state["recipe"]["name"] == "a"
    assert state["is_simulated"]
    fresh.inspector.close()
    state = fresh.until_state(ready=False)
    assert state["not_ready_because"] == ["no inspector is connected"]
    fresh.grabbers["cam0"].close()
    fresh.until(lambda: "camera cam0: no grabber" in fresh.states[-1]["not_ready_because"])


def test_the_state_comes_twice_a_second_unasked(stand: LineStand) -> None:
    while stand.lane.receive(0) is not None:
        pass
    seen, began = len(stand.states), time.monotonic()
    stand.until(lambda: len(stand.states) >= seen + 3)
    assert time.monotonic() - began > 0.4  # three in this time are two periods; the first may have been due


def test_a_verdict_and_its_acknowledgement_show_in_the_state(stand: LineStand) -> None:
    trigger = stand.announce_seen()
    stand.find("cam0", trigger)
    verdict = stand.next_verdict()
    stand.until_state(result_valid=True, trigger_acknowledged=False, verdict_seq=verdict["verdict_seq"])
    assert stand.status_of("result.ack", verdict_seq=verdict["verdict_seq"]) == "ok"
    stand.until_state(result_valid=False, result_acknowledged=True)
    assert stand.status_of("result.ack") == "duplicate"
    assert stand.status_of("result.ack", verdict_seq=verdict["verdict_seq"] + 1) == "unknown"
    for _ in range(2):
        stand.announce(reason=Reason.LOST_FRAME)
        stand.next_verdict()
    assert stand.until_state(overrun=True)["counters"]["overruns"] >= 1
    assert stand.status_of("result.ack") == "ok"
    stand.until_state(overrun=False)


def test_too_many_rejects_ask_the_line_to_stop_even_after_a_kill(fresh: LineStand) -> None:
    assert fresh.status_of("line.release") == "duplicate"
    unknown = fresh.until_state(stop_requested=False)["counters"]["unknown"]
    for _ in range(3):
        fresh.announce(reason=Reason.LOST_FRAME)
        fresh.next_verdict()
    state = fresh.until_state(stop_requested=True)
    assert not state["ready"]
    assert state["error_id"] == LineError.STOP_REQUESTED
    assert state["counters"]["unknown"] == unknown + 3
    fresh.kill()
    fresh.start()
    fresh.connect()
    fresh.until_state(stop_requested=True, ready=False)
    assert fresh.status_of("line.release") == "ok"
    fresh.until_state(stop_requested=False, ready=True)


def test_a_count_that_differs_makes_every_verdict_unknown_until_resync(fresh: LineStand) -> None:
    first = fresh.announce(reason=Reason.LOST_FRAME)
    fresh.next_verdict()
    assert fresh.status_of("line.count", controller_count=1) == "unknown"
    fresh.announce(reason=Reason.LOST_FRAME)
    fresh.next_verdict()
    assert fresh.status_of("line.resync", controller_count=1) == "refused", "the line moves"
    bind = {"trigger": {"camera": "cam0", "trigger_id": first.trigger_id}}
    assert fresh.ask("line.resync", controller_count=500, bind=bind)["our_count"] == 501
    assert fresh.status_of("line.count", controller_count=501) == "ok"
    trigger = fresh.announce()
    fresh.find("cam0", trigger)
    assert fresh.next_verdict()["verdict"] == "OK"
    assert fresh.status_of("line.count", controller_count=502) == "ok"
    assert fresh.status_of("line.count", controller_count=503) == "ok", "we may get there"
    state = fresh.until_state(ready=False)
    assert state["error_id"] == LineError.COUNT_MISMATCH
    assert (state["controller_count"], state["our_count"]) == (503, 502)
    assert fresh.status_of("line.count", controller_count=503) == "conflict"

    def judged_ok() -> dict[str, Any]:
        trigger = fresh.announce()
        fresh.find("cam0", trigger)
        return fresh.next_verdict()

    verdict = judged_ok()
    assert (verdict["verdict"], verdict["reason"]) == ("UNKNOWN", "not_ready")
    fresh.kill()
    fresh.start()
    fresh.connect()
    assert judged_ok()["reason"] == "not_ready"
    fresh.until(lambda: fresh.status_of("line.resync", controller_count=600) == "ok")
    assert judged_ok()["verdict"] == "OK"
    assert fresh.until_state(ready=True, our_count=601)["counters"]["count_mismatches"] == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"request": "part.set"}, "bind: Field required"),
        ({"request": "line.count", "controller_count": "5"}, "controller_count"),
        ({"request": "reboot", "id": "x"}, "reboot"),
        ({"id": [1]}, "request"),
    ],
)
def test_what_is_no_request_is_told_so_and_harms_nothing(stand: LineStand, body: dict[str, Any], told: str) -> None:
    answer = stand.client.ask(body, PATIENCE_S)
    assert answer["status"] == "invalid"
    assert told in answer["message"]
    assert stand.ask("line.state")["state"]["line"] == "line1"


def test_requests_do_not_delay_verdicts(stand: LineStand) -> None:
    for number in range(50):
        bind = {"trigger": {"camera": "cam0", "trigger_id": 1000 + number}}
        stand.client._client.socket.send_json({"request": "part.set", "bind": bind, "part_id": f"P{number}"})
    trigger = stand.announce()
    stand.find("cam0", trigger)
    verdict = stand.next_verdict()
    assert verdict["verdict"] == "OK"
    assert verdict["stage_ms"]["total"] < DEADLINE_MS / 2
    stand.until(lambda: stand.states[-1]["counters"]["parts_announced"] == 50)
