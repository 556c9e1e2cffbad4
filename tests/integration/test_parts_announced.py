"""Announced parts through a real publisher: each answer, and what survives kill -9."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.delivery.parts import MAX_PENDING
from appliance.messages import Reason
from appliance.testing.line_stand import LineStand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStand]:
    """One publisher for all tests: parts have a name each, triggers are counted from the next one."""
    with LineStand(tmp_path_factory.mktemp("parts")) as stand:
        stand.connect()
        yield stand


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LineStand]:
    with LineStand(tmp_path) as stand:
        stand.connect()
        yield stand


def at_id(trigger_id: int, camera: str = "cam0") -> dict[str, Any]:
    return {"trigger": {"camera": camera, "trigger_id": trigger_id}}


def identity(verdict: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(verdict[name] for name in ("part_id", "lot", "job_id", "lane"))


def pass_by(stand: LineStand, count: int | None = None) -> dict[str, Any]:
    trigger = stand.announce(reason=Reason.LOST_FRAME, count=count)
    return stand.verdict_of(trigger)


def test_a_part_is_named_by_its_trigger_count_or_encoder(stand: LineStand) -> None:
    next_id = stand.pens["cam0"].next_trigger_id
    more = {"lot": "L7", "job_id": "J1", "lane": "left"}
    assert stand.status_of("part.set", bind=at_id(next_id + 1), part_id="B", **more) == "ok"
    encoder = {"encoder": {"camera": "cam0", "count": 902, "tolerance": 3}}
    assert stand.status_of("part.set", bind=encoder, part_id="C") == "ok"
    assert stand.status_of("part.set", bind={"controller_count": 43}, part_id="D") == "unknown"
    assert stand.status_of("line.resync", controller_count=40, bind=at_id(next_id)) == "ok"
    assert stand.status_of("part.set", bind={"controller_count": 43}, part_id="D") == "ok"
    found = [identity(pass_by(stand, count)) for count in (700, 800, 900, 1000)]
    nobody = (None, None, None)
    assert found == [(None, *nobody), ("B", "L7", "J1", "left"), ("C", *nobody), ("D", *nobody)]


def test_each_announcement_gets_a_clear_answer(stand: LineStand) -> None:
    passed = pass_by(stand, count=10)
    trigger_id = passed["views"][0]["trigger_id"]
    coming = at_id(trigger_id + 1000)
    assert stand.ask("part.set", bind=coming, part_id="A", lot="1")["id"] == 7
    assert stand.status_of("part.set", bind=coming, part_id="A", lot="1") == "duplicate"
    assert stand.status_of("part.set", bind=coming, part_id="A", lot="2") == "conflict"
    assert stand.status_of("part.set", bind=coming, part_id="B") == "conflict"
    elsewhere = stand.ask("part.set", bind=at_id(trigger_id + 1001), part_id="A")
    assert elsewhere["status"] == "conflict"
    assert f"trigger {trigger_id + 1000} of cam0" in elsewhere["message"]
    late = stand.ask("part.set", bind=at_id(trigger_id), part_id="Z")
    assert (late["status"], late["inspection_id"]) == ("late", passed["inspection_id"])
    late = stand.ask("part.set", bind={"encoder": {"camera": "cam0", "count": 10}}, part_id="Z")
    assert (late["status"], late["inspection_id"]) == ("late", passed["inspection_id"])
    assert stand.status_of("part.set", bind={"encoder": {"camera": "cam0", "count": 9}}, part_id="Z") == "late"
    unknown = stand.ask("part.set", bind=at_id(1, "cam9"), part_id="Z")
    assert unknown["status"] == "unknown"
    assert "there is cam0" in unknown["message"]
    assert stand.status_of("part.set", bind=at_id(trigger_id + 7), part_id="Z", recipe="q") == "unknown"
    assert stand.status_of("part.set", bind=at_id(trigger_id + 7), part_id="") == "invalid"


def test_a_part_may_be_named_until_its_verdict(stand: LineStand) -> None:
    trigger = stand.announce_seen()
    answer = stand.ask("part.set", bind=at_id(trigger.trigger_id), part_id="N")
    assert answer["status"] == "ok"
    stand.find("cam0", trigger)
    verdict = stand.next_verdict()
    assert (verdict["part_id"], verdict["inspection_id"]) == ("N", answer["inspection_id"])
    again = stand.ask("part.set", bind=at_id(trigger.trigger_id), part_id="N")
    assert (again["status"], again["inspection_id"]) == ("duplicate", verdict["inspection_id"])
    assert stand.status_of("part.set", bind=at_id(trigger.trigger_id + 1), part_id="N") == "ok", "a rework"


def test_a_part_whose_trigger_was_jumped_over_may_be_announced_again(stand: LineStand) -> None:
    pass_by(stand, count=3000)
    assert stand.status_of("part.set", bind={"encoder": {"camera": "cam0", "count": 3001}}, part_id="J") == "ok"
    pass_by(stand, count=3005)
    assert stand.status_of("part.set", bind={"encoder": {"camera": "cam0", "count": 3006}}, part_id="J") == "ok"
    assert pass_by(stand, count=3006)["part_id"] == "J"


def test_too_many_waiting_parts_are_refused_clearly(fresh: LineStand) -> None:
    socket = fresh.client._client.socket
    for number in range(MAX_PENDING + 1):
        socket.send_json({"request": "part.set", "bind": at_id(100 + number), "part_id": f"P{number}"})
        if number % 50 == 49:
            fresh.until(lambda: socket.poll(10))
            while socket.poll(0):
                socket.recv()
    fresh.until_state()
    fresh.until(lambda: fresh.states[-1]["counters"]["parts_announced"] == MAX_PENDING)
    while socket.poll(100):
        socket.recv()
    answer = fresh.ask("part.set", bind=at_id(90_000), part_id="Q")
    assert answer["status"] == "refused"
    assert "no room for more" in answer["message"]


def test_accepted_announcements_survive_kill_9(fresh: LineStand) -> None:
    next_id = fresh.pens["cam0"].next_trigger_id
    parts = {next_id + offset: f"P{offset}" for offset in range(5)}
    for trigger_id, part_id in parts.items():
        assert fresh.status_of("part.set", bind=at_id(trigger_id), part_id=part_id, lot="L") == "ok"
    assert pass_by(fresh)["part_id"] == "P0"
    open_one = fresh.announce_seen()
    fresh.kill()
    unseen = fresh.announce(reason=Reason.LOST_FRAME)
    fresh.start()
    fresh.connect()
    assert fresh.status_of("part.set", bind=at_id(next_id + 3), part_id="P3", lot="L") == "duplicate"
    assert fresh.status_of("part.set", bind=at_id(next_id + 3), part_id="other") == "conflict"
    fresh.until(lambda: fresh.decision("cam0", open_one) and fresh.decision("cam0", unseen))
    assert [pass_by(fresh)["part_id"] for _ in range(3)] == ["P3", "P4", None]
    named = {v["views"][0]["trigger_id"]: v["part_id"] for v in fresh.verdicts}
    assert named.items() <= (parts | {next_id + 5: None}).items()
