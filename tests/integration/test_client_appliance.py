"""The clients against a running appliance, and every message it sends against the published schemas."""

import functools
import json
import os
import signal
from collections import defaultdict
from collections.abc import Iterator

import jsonschema
import pytest
import zmq
from pydantic import TypeAdapter

from appliance.client import (
    ControlClient,
    LineState,
    Result,
    ResultClient,
    StreamItem,
    Verdict,
    VerdictClient,
    at_trigger,
)
from appliance.contracts.catalogue import CONTRACTS, packaged_directory
from appliance.messages.control import ControlStatus
from appliance.testing.patience import PATIENCE_S
from appliance.testing.whole_appliance import CAMERA, WholeAppliance

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

SIMULATED = ("sim.result.",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeAppliance]:
    with WholeAppliance(tmp_path_factory.mktemp("client")) as whole:
        yield whole


@pytest.fixture(scope="module")
def survivor(whole: WholeAppliance) -> list[StreamItem]:
    """What one client got while recorder and publisher were killed. Made ahead of the tests: children change here."""
    items: list[StreamItem] = []
    recorder = whole.config.recorder
    with ResultClient(recorder.result_endpoint, recorder.replay_endpoint, "survivor", topics=SIMULATED) as client:

        def follow(count: int) -> None:
            wanted = len(items) + count

            def have_enough() -> bool:
                items.extend(iter(lambda: client.receive(0.0), None))
                return len(items) >= wanted

            whole.follow(have_enough)

        follow(10)
        for victim in ("record", "publish"):
            killed = whole.pid(victim)
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            follow(10)
        # Sockets that connect again later would look like a test's leak.
        whole.follow(lambda: whole.supervisor.is_up and whole.lane.is_connected and whole.result_lane.is_connected)
        last = items[-1].cursor
        client.ack(last)

        def is_noted() -> bool:
            items.extend(iter(lambda: client.receive(0.0), None))
            return client.acknowledged == last

        whole.follow(is_noted)
    return items


@functools.cache
def schema(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((packaged_directory() / f"{name}.json").read_text()))


def check(name: str, message: bytes | list[bytes]) -> None:
    """Hold a message against its schema, and against the model, which knows no further keys."""
    if isinstance(message, list):
        schema(name).validate([frame.decode() for frame in message])
        return
    schema(name).validate(json.loads(message))
    TypeAdapter(CONTRACTS[name].kind).validate_json(message)


class RawPeer:
    """A peer that uses ZeroMQ itself, as a stranger's program does: nothing of ours between it and the frames."""

    def __init__(self, kind: int, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.linger = 0
        if kind == zmq.SUB:
            self.socket.subscribe(b"")
        self.socket.connect(endpoint)

    def waiting(self) -> Iterator[list[bytes]]:
        while self.socket.poll(0):
            yield self.socket.recv_multipart()

    def ask(self, *frames: bytes) -> list[bytes]:
        self.socket.send_multipart(frames)
        assert self.socket.poll(PATIENCE_S * 1000)
        return self.socket.recv_multipart()

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def raw(whole: WholeAppliance) -> Iterator[dict[str, RawPeer]]:
    delivery, recorder = whole.config.delivery, whole.config.recorder
    peers = {
        "verdicts": RawPeer(zmq.SUB, delivery.verdict_endpoint),
        "results": RawPeer(zmq.SUB, recorder.result_endpoint),
        "replay": RawPeer(zmq.DEALER, recorder.replay_endpoint),
        "control": RawPeer(zmq.DEALER, delivery.control_endpoint),
    }
    yield peers
    for peer in peers.values():
        peer.close()


def check_lane_message(frames: list[bytes]) -> str:
    """Check a message of a lane; gives the name of its contract."""
    word, _, greeting = frames[0].partition(b" ")
    topic = word.decode().removeprefix("sim.").partition(".")[0]
    match topic:
        case "welcome":
            name = "heartbeat" if b"head_seq" in greeting else "verdict_welcome"
            check(name, greeting)
            return f"welcome: {name}"
        case "result":
            check("result_header", frames[1])
            check("record", frames[2])
            header, record = json.loads(frames[1]), json.loads(frames[2])
            assert header == {"epoch": record["epoch"], "seq": record["seq"]}
            return f"record: {record['kind']}"
        case _:
            name = {"verdict": "verdict", "line": "line_state", "heartbeat": "heartbeat"}[topic]
            check(name, frames[1])
            return name


@pytest.mark.usefixtures("survivor")
def test_every_message_on_the_lanes_is_as_described(whole: WholeAppliance, raw: dict[str, RawPeer]) -> None:
    seen: dict[str, int] = defaultdict(int)

    def have_all() -> bool:
        for lane in ("verdicts", "results"):
            for frames in raw[lane].waiting():
                seen[check_lane_message(frames)] += 1
        wanted = {"verdict", "line_state", "record: inspection", "heartbeat"}
        greetings = {"welcome: heartbeat", "welcome: verdict_welcome"}
        return seen.keys() >= wanted | greetings and seen["record: inspection"] >= 20 and seen["heartbeat"] >= 2

    whole.follow(have_all)


def test_replay_and_control_answer_as_described(whole: WholeAppliance, raw: dict[str, RawPeer]) -> None:
    head = raw["replay"].ask(b"HEAD")
    check("replay_reply", head)
    epoch = head[1]
    for question, word in (
        ((b"GET", epoch, b"1", b"5"), b"ROWS"),
        ((b"GET", b"another", b"1", b"5"), b"BADEPOCH"),
        ((b"ACK", b"raw", epoch, b"1"), b"ACKED"),
        ((b"ACK", b"raw", epoch, b"999999999"), b"ERROR"),
        ((b"nonsense",), b"ERROR"),
    ):
        answer = raw["replay"].ask(*question)
        assert answer[0] == word
        check("replay_reply", answer)
        for body in answer[4::2] if word == b"ROWS" else ():
            check("record", body)
    for request in (
        {"request": "line.state", "id": 1},
        {"request": "line.count", "controller_count": 4},
        {"request": "part.set", "bind": {"trigger": {"camera": CAMERA, "trigger_id": 1}}, "part_id": "P"},
        {"request": "result.ack"},
        {"request": "recipe.select", "from": {"trigger": {"camera": CAMERA, "trigger_id": 10**9}}, "recipe": "no"},
        {"request": "nonsense"},
    ):
        (reply,) = raw["control"].ask(json.dumps(request).encode())
        check("control_reply", reply)


def test_the_clients_follow_a_running_appliance(whole: WholeAppliance) -> None:
    delivery, recorder = whole.config.delivery, whole.config.recorder
    verdicts: list[Verdict] = []
    states: list[LineState] = []
    results: list[Result] = []
    with (
        VerdictClient(delivery.verdict_endpoint, ("sim.verdict.", "sim.line.")) as verdict_client,
        ResultClient(recorder.result_endpoint, recorder.replay_endpoint, "mes", topics=SIMULATED) as result_client,
        ControlClient(delivery.control_endpoint, timeout_s=PATIENCE_S) as control_client,
    ):

        def have_enough() -> bool:
            while (message := verdict_client.receive(0.0)) is not None:
                (verdicts if isinstance(message, Verdict) else states).append(message)  # type: ignore[arg-type]
            while isinstance(item := result_client.receive(0.0), Result):
                results.append(item)
                result_client.ack(item)
            return min(len(verdicts), len(states)) >= 5 and len(results) >= 20

        whole.follow(have_enough)
        assert verdict_client.is_connected
        assert [result.seq for result in results] == list(range(1, len(results) + 1))
        state = control_client.state()
        assert state.holds
        assert state.content["state"]["line"] == whole.config.line
        coming = verdicts[-1].message["views"][0]["trigger_id"] + 40
        assert control_client.part_set(at_trigger(CAMERA, coming), "P-7", lot="lot 3").holds
        assert control_client.part_set(at_trigger(CAMERA, 1), "P-8").status is ControlStatus.LATE

        def part_is_recorded() -> bool:
            have_enough()
            return any(result.record.get("part_id") == "P-7" for result in results)

        whole.follow(part_is_recorded)
        last = results[-1].cursor
        whole.follow(lambda: (result_client.receive(0.0), result_client.acknowledged == last)[1])
        (part,) = [result.record for result in results if result.record.get("part_id") == "P-7"]
        assert (part["views"][0]["trigger_id"], part["lot"]) == (coming, "lot 3")


def test_a_client_lives_through_kills_of_recorder_and_publisher(survivor: list[StreamItem]) -> None:
    results = [item for item in survivor if isinstance(item, Result)]
    assert len(results) == len(survivor)
    assert [result.seq for result in results] == list(range(1, len(results) + 1))
    for result in results:
        check("record", result.body)
