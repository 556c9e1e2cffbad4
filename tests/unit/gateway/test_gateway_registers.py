"""The register map is what the README says, and fails to the safe side."""

import json
from pathlib import Path
from typing import Any

import pytest

import appliance.gateway
from appliance.clock import NS_PER_S, rfc3339
from appliance.gateway.line_view import STALE_NS, LineView
from appliance.gateway.registers import (
    INPUT_REGISTERS,
    RECORD_REGISTERS,
    RING_RECORDS,
    RING_START,
    CommandCode,
    CommandState,
    CommandStatus,
    Counters,
    Picture,
    Result,
    discrete_inputs,
    input_registers,
)
from appliance.messages import Reason, VerdictWord

NOW_NS = 1_000 * NS_PER_S
UNIX_S = 1_700_000_000.0
VERDICT_TOPIC = "verdict.line1.tabs"
LINE_TOPIC = "line.line1.tabs"
READY, PRESENT, TRIGGER, VALID, ACKNOWLEDGED, EXPIRED, OVERRUN, STOP, OK, NG, UNKNOWN, PENDING, SIMULATED = range(13)


def line(**changes: Any) -> bytes:
    message = {
        "schema_version": 1,
        "ready": True,
        "trigger_acknowledged": False,
        "result_valid": False,
        "result_acknowledged": False,
        "overrun": False,
        "stop_requested": False,
        "error_id": 0,
        "counters": {"ok": 70_000, "ng": 2, "unknown": 3},
        "verdict_seq": 0,
        "controller_count": None,
        "our_count": 65_537,
    }
    return json.dumps(message | changes).encode()


def verdict(number: int = 1, word: str = "OK", left_s: float = 0.1, published_ago_s: float = 0.0, **more: Any) -> bytes:
    message = {
        "schema_version": 1,
        "verdict_seq": number,
        "inspection_id": number + 100,
        "verdict": word,
        "reason": None,
        "defects": [],
        "deadline_at": rfc3339(int((UNIX_S + left_s) * NS_PER_S)),
        "published_at": rfc3339(int((UNIX_S - published_ago_s) * NS_PER_S)),
        "is_simulated": False,
    }
    return json.dumps(message | more).encode()


@pytest.fixture
def view() -> LineView:
    """A view that hears a ready line."""
    view = LineView(NOW_NS)
    view.listen(is_connected=True, now_ns=NOW_NS)
    take(view, LINE_TOPIC, line())
    return view


def take(view: LineView, topic: str, body: bytes, after_ns: int = 0) -> None:
    view.take(topic, body, now_ns=NOW_NS + after_ns, unix_s=UNIX_S + after_ns / NS_PER_S)


def bits(view: LineView, after_ns: int = 0) -> set[int]:
    inputs = discrete_inputs(view.picture(CommandState(), NOW_NS + after_ns))
    return {place for place, bit in enumerate(inputs) if bit}


def registers(view: LineView, after_ns: int = 0) -> list[int]:
    return input_registers(view.picture(CommandState(), NOW_NS + after_ns))


def test_each_field_stands_at_its_documented_address() -> None:
    result = Result(0x1_0002_0003, 0x0004_0005_0006_0007, VerdictWord.NG, Reason.NONE, 9, expires_ns=0)
    picture = Picture(
        heartbeat=65_536 + 8,
        is_ready=True,
        is_valid=True,
        error_id=5,
        our_count=0x0A_000B,
        controller_count=0x0C_000D,
        counters=Counters(0x1_0001, 0x2_0002, 0x3_0003),
        command=CommandState(77, CommandCode.RESYNC, CommandStatus.REFUSED),
        results=(result,),
    )
    shown = input_registers(picture)
    assert len(shown) == INPUT_REGISTERS == 224
    assert shown[:12] == [1, 8, 1 << READY | 1 << VALID | 1 << NG, 2, 2, 3, 0, 9, 4, 5, 6, 7]
    assert shown[12:26] == [0x0A, 0x0B, 0x0C, 0x0D, 5, 1, 1, 2, 2, 3, 3, 77, 3, 7]
    place = RING_START + 3 * RECORD_REGISTERS  # sequence 0x00020003 modulo 16
    assert shown[place : place + RECORD_REGISTERS] == [2, 3, 4, 5, 6, 7, 2, 0, 9, 0, 0, 0]


def test_the_readme_explains_every_number() -> None:
    readme = " ".join(Path(appliance.gateway.__file__).with_name("README.md").read_text().split())
    for status in CommandStatus:
        assert f"{status.value} {status.name.lower().replace('_', ' ')}" in readme
    for code in CommandCode:
        assert f"{code.value} {code.name.lower()}" in readme
    for reason in Reason:
        assert f"{reason.value} {reason.word or 'none'}" in readme
    assert f"`{RING_START} + {RECORD_REGISTERS} * (s mod {RING_RECORDS})`" in readme


def test_a_verdict_is_valid_at_once_even_before_the_next_line_state(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(7))
    assert bits(view) == {READY, PRESENT, VALID, OK}
    assert registers(view)[3:8] == [1, 0, 7, 0, 0]


def test_a_verdict_past_its_deadline_is_shown_as_expired_and_never_as_valid(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(left_s=0.1))
    assert VALID in bits(view, int(0.09 * NS_PER_S))
    assert bits(view, int(0.11 * NS_PER_S)) == {READY, PRESENT, EXPIRED}
    assert registers(view, int(0.11 * NS_PER_S))[3] == 0


def test_a_verdict_that_came_late_was_never_valid_and_says_so_in_the_ring(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(2, left_s=-0.001, published_ago_s=0.1))
    assert bits(view) == {READY, PRESENT, EXPIRED}
    assert registers(view)[RING_START + 2 * RECORD_REGISTERS + 9] == 1


def test_a_wall_clock_that_is_set_back_gives_a_verdict_no_more_time(view: LineView) -> None:
    view.take(VERDICT_TOPIC, verdict(left_s=0.1), now_ns=NOW_NS, unix_s=UNIX_S - 3600)
    assert VALID in bits(view)
    assert VALID not in bits(view, int(0.11 * NS_PER_S))


def test_a_lost_publisher_is_neither_ready_nor_valid(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict())
    view.listen(is_connected=False, now_ns=NOW_NS + 1)
    assert bits(view, 1) == set()


def test_a_publisher_that_comes_back_does_not_revive_its_last_verdict(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(1))
    view.listen(is_connected=False, now_ns=NOW_NS + 1)
    view.listen(is_connected=True, now_ns=NOW_NS + 2)
    take(view, LINE_TOPIC, line(), after_ns=3)
    assert bits(view, 4) == {READY, PRESENT}


def test_a_publisher_that_answers_but_says_nothing_is_not_ready(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(left_s=10))
    view.listen(is_connected=True, now_ns=NOW_NS + STALE_NS)
    assert bits(view, STALE_NS) == {PRESENT}


def test_a_deaf_gateway_is_not_ready_and_its_heartbeat_stops(view: LineView) -> None:
    view.listen(is_connected=True, now_ns=NOW_NS + 3 * NS_PER_S)
    take(view, LINE_TOPIC, line(), after_ns=3 * NS_PER_S)
    assert registers(view, 4 * NS_PER_S)[1] == 3
    assert READY in bits(view, 4 * NS_PER_S)
    assert registers(view, 9 * NS_PER_S)[1] == 3
    assert bits(view, 9 * NS_PER_S) == set()


def test_the_publisher_withdraws_a_result_by_its_line_state(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(5))
    take(view, LINE_TOPIC, line(verdict_seq=5, result_valid=True))
    assert VALID in bits(view)
    take(view, LINE_TOPIC, line(verdict_seq=5, result_valid=False, result_acknowledged=True))
    assert bits(view) == {READY, PRESENT, ACKNOWLEDGED}


def test_a_verdict_that_never_came_here_hides_the_one_before_it(view: LineView) -> None:
    take(view, VERDICT_TOPIC, verdict(5))
    take(view, LINE_TOPIC, line(verdict_seq=6, result_valid=True))
    assert VALID not in bits(view)


def test_the_ring_keeps_the_last_sixteen(view: LineView) -> None:
    for number in range(1, 21):
        take(view, VERDICT_TOPIC, verdict(number, "UNKNOWN", reason="late"))
    ring = registers(view)[RING_START:]
    sequences = [ring[place * RECORD_REGISTERS + 1] for place in range(16)]
    assert sequences == [16, 17, 18, 19, 20, *range(5, 16)]
    assert ring[6:8] == [VerdictWord.UNKNOWN, Reason.LATE]


def test_counts_and_flags_of_the_line_are_shown(view: LineView) -> None:
    changes = {"ready": False, "trigger_acknowledged": True, "overrun": True, "stop_requested": True}
    take(view, LINE_TOPIC, line(error_id=2, controller_count=65_536, **changes))
    assert bits(view) == {PRESENT, TRIGGER, OVERRUN, STOP}
    assert registers(view)[12:23] == [1, 1, 1, 0, 2, 1, 4464, 0, 2, 0, 3]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"schema_version":2}',
        line(schema_version=2),
        line(counters={}),
        verdict(verdict="MAYBE"),
        verdict(deadline_at="soon"),
        verdict(reason="because"),
        verdict(inspection_id=None),
    ],
)
@pytest.mark.parametrize("topic", [VERDICT_TOPIC, LINE_TOPIC])
def test_a_message_that_can_not_be_read_changes_nothing(view: LineView, topic: str, body: bytes) -> None:
    before = bits(view)
    take(view, topic, body)
    assert view.unreadable == 1
    assert bits(view) == before
