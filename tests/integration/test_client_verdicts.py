"""Verdict and control clients against the lanes' own servers."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from appliance.client import (
    AsyncVerdictClient,
    ControlClient,
    LineState,
    Verdict,
    VerdictClient,
    at_count,
    at_encoder,
    at_trigger,
)
from appliance.clock import rfc3339
from appliance.errors import PeerSilent, PublishError
from appliance.messages.control import ControlStatus, control_reply, parse_request
from appliance.testing.patience import PATIENCE_S
from appliance.wire.control_lane import ControlServer
from appliance.wire.verdict_lane import VerdictPublisher


@pytest.fixture
def lane() -> Iterator[VerdictPublisher]:
    lane = VerdictPublisher("tcp://127.0.0.1:0")
    yield lane
    lane.close()


def wait_for_subscriptions(lane: VerdictPublisher, wanted: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while lane.subscriptions < wanted:
        assert time.monotonic() < end
        lane.take_subscriptions()


def verdict(word: str, deadline_in_s: float) -> bytes:
    deadline_at = rfc3339(time.time_ns() + int(deadline_in_s * 1e9))
    return json.dumps({"verdict": word, "deadline_at": deadline_at}).encode()


def test_a_stale_verdict_never_reaches_the_caller(lane: VerdictPublisher) -> None:
    with VerdictClient(lane.bound_endpoint) as client:
        wait_for_subscriptions(lane, 1)
        lane.send("verdict.line1.tabs", verdict("OK", -0.001))
        lane.send("verdict.line1.tabs", verdict("NG", 60))
        lane.send("sim.verdict.line1.tabs", verdict("OK", 60))
        lane.send("verdict.line1.tabs", verdict("OK", 60))
        found = [client.receive(PATIENCE_S) for _ in range(2)]
        assert [each.is_ok for each in found if isinstance(each, Verdict)] == [False, True]
        assert client.discarded == 1
        assert client.receive(0.0) is None
        assert client.is_connected


def test_a_publisher_that_goes_is_noticed() -> None:
    lane = VerdictPublisher("tcp://127.0.0.1:0")
    with VerdictClient(lane.bound_endpoint) as client:
        wait_for_subscriptions(lane, 1)
        lane.send("verdict.line1.tabs", verdict("NG", 60))
        assert client.receive(PATIENCE_S) is not None
        assert client.is_connected
        lane.close()
        end = time.monotonic() + PATIENCE_S
        while client.is_connected:
            assert client.receive(0.02) is None
            assert time.monotonic() < end


def test_line_states_come_with_their_topic(lane: VerdictPublisher) -> None:
    with VerdictClient(lane.bound_endpoint, ("verdict.", "line.")) as client:
        wait_for_subscriptions(lane, 2)
        lane.send_state("line.line1.tabs", b'{"ready":true}')
        state = next(iter(client))
        assert isinstance(state, LineState)
        assert state.is_ready


@pytest.mark.parametrize("body", [b"", b"[]", b'{"verdict":"OK"}', b'{"verdict":"OK","deadline_at":"soon"}'])
def test_what_is_no_verdict_is_an_error_and_never_ok(lane: VerdictPublisher, body: bytes) -> None:
    with VerdictClient(lane.bound_endpoint) as client:
        wait_for_subscriptions(lane, 1)
        lane.send("verdict.line1.tabs", body)
        with pytest.raises(PublishError, match="is no verdict"):
            client.receive(PATIENCE_S)


def test_the_async_verdict_client_waits_and_discards(lane: VerdictPublisher) -> None:
    async def follow() -> tuple[list[bool], int]:
        async with AsyncVerdictClient(lane.bound_endpoint) as client:
            await asyncio.to_thread(wait_for_subscriptions, lane, 1)
            assert await client.receive(0.05) is None
            for word, deadline_in_s in (("OK", -1.0), ("NG", 60.0), ("OK", 60.0)):
                lane.send("verdict.line1.tabs", verdict(word, deadline_in_s))
            found = []
            async for message in client:
                found.append(message)
                if len(found) == 2:
                    break
            assert client.is_connected
            return [each.is_ok for each in found if isinstance(each, Verdict)], client.discarded

    assert asyncio.run(asyncio.wait_for(follow(), PATIENCE_S)) == ([False, True], 1)


@contextmanager
def answering(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[ControlServer]:
    """A control server with a thread."""
    server = ControlServer("tcp://127.0.0.1:0")
    is_stopping = threading.Event()

    def serve() -> None:
        while not is_stopping.wait(0.002):
            for request in server.requests():
                server.reply(request.peer, answer(request.body))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        is_stopping.set()
        thread.join()
        server.close()


def test_every_friendly_method_sends_a_request_the_appliance_understands() -> None:
    asked: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        parse_request(body)  # raises for what the publisher would call invalid
        asked.append(body)
        return control_reply(body["id"], ControlStatus.OK, "done")

    with answering(answer) as server, ControlClient(server.bound_endpoint, timeout_s=PATIENCE_S) as client:
        replies = [
            client.part_set(at_trigger("cam0", 7), "P-1", lot="lot 7"),
            client.part_set(at_encoder("cam0", 1200, tolerance=3), "P-2", recipe="tabs"),
            client.recipe_select("tabs", at_count(41)),
            client.line_count(41),
            client.line_resync(41),
            client.line_resync(41, at_trigger("cam0", 7)),
            client.line_release(),
            client.result_ack(),
            client.result_ack(12),
            client.state(),
        ]
    assert all(reply.holds and reply.message == "done" for reply in replies)
    assert [body["request"] for body in asked] == [
        "part.set", "part.set", "recipe.select", "line.count", "line.resync", "line.resync", "line.release",
        "result.ack", "result.ack", "line.state",
    ]  # fmt: skip
    assert asked[0] == {
        "request": "part.set",
        "bind": {"trigger": {"camera": "cam0", "trigger_id": 7}},
        "part_id": "P-1",
        "lot": "lot 7",
        "id": 1,
    }


def test_a_refusal_is_an_answer_that_does_not_hold() -> None:
    def refuse(body: dict[str, Any]) -> dict[str, Any]:
        return control_reply(body["id"], ControlStatus.LATE, "trigger 7 of cam0 has passed")

    with answering(refuse) as server, ControlClient(server.bound_endpoint, timeout_s=PATIENCE_S) as client:
        reply = client.part_set(at_trigger("cam0", 7), "P-1")
    assert reply.status is ControlStatus.LATE
    assert not reply.holds


def test_an_appliance_that_is_not_there_is_an_error_in_time() -> None:
    with ControlClient("tcp://127.0.0.1:9", timeout_s=0.1) as client, pytest.raises(PeerSilent, match="no answer"):
        client.state()
