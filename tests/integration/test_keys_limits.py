"""What strangers can do to a bound socket: idle and hanging connections, floods of them, too many subscriptions."""

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from appliance.errors import PublishError
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.testing.zmtp import dial, greeting, ready
from appliance.wire import sockets
from appliance.wire.broadcast import MAX_TOPICS
from appliance.wire.client_keys import ClientKeys
from appliance.wire.control_lane import ControlClient, ControlServer
from appliance.wire.doorkeeper import MAX_CONNECTIONS
from appliance.wire.keys import KeyStore
from appliance.wire.verdict_lane import VERDICT_TOPICS, VerdictPublisher, VerdictSubscriber

GREETING, CURVE_GREETING = greeting(), greeting(b"CURVE")


@pytest.fixture(params=["without keys", "with keys"])
def lane_and_keys(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[VerdictPublisher, ClientKeys | None]]:
    monkeypatch.setattr(sockets, "HANDSHAKE_MS", 600_000)  # what hangs does so for good: nobody can wait for its end
    if request.param == "without keys":
        lane, keys = VerdictPublisher("tcp://127.0.0.1:0"), None
    else:
        store = KeyStore(tmp_path / "keys")
        store.init()
        lane, keys = VerdictPublisher("tcp://0.0.0.0:0", store), store.box_keys()
    yield lane, keys
    lane.close()


def is_closed(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        while peer.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def door(lane: VerdictPublisher) -> int:
    return lane._server.doorkeeper.connections


@pytest.mark.parametrize("said", [b"", GREETING, CURVE_GREETING], ids=["idle", "greeted", "greeted for CURVE"])
def test_two_hundred_hanging_connections_keep_no_good_client_out(
    lane_and_keys: tuple[VerdictPublisher, ClientKeys | None], said: bytes
) -> None:
    lane, keys = lane_and_keys
    with contextlib.ExitStack() as stack, VerdictSubscriber(lane.bound_endpoint, keys=keys) as before:
        wait_for(lambda: (lane.take_subscriptions(), lane.subscriptions)[1] == 2)
        crowd = [stack.enter_context(dial(lane.bound_endpoint)) for _ in range(200)]
        for peer in crowd:
            with contextlib.suppress(ConnectionError):
                peer.sendall(said)
        after = stack.enter_context(VerdictSubscriber(lane.bound_endpoint, keys=keys))
        wait_for(lambda: (lane.take_subscriptions(), lane.subscriptions)[1] == 4)
        lane.send("verdict.line1.tabs", b"{}")
        assert before.receive(PATIENCE_S) == after.receive(PATIENCE_S) == ("verdict.line1.tabs", b"{}")
        wait_for(lambda: door(lane) <= MAX_CONNECTIONS)
        assert sum(is_closed(peer) for peer in crowd) >= 200 - MAX_CONNECTIONS


def test_a_hanging_handshake_ends_by_itself(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.init()
    lanes = (VerdictPublisher("tcp://127.0.0.1:0"), VerdictPublisher("tcp://0.0.0.0:0", store))
    with contextlib.ExitStack() as stack:
        peers = []
        for lane, said in itertools.product(lanes, (b"", GREETING, CURVE_GREETING + b"\x04\xc8\x05HELLO")):
            peers.append(stack.enter_context(dial(lane.bound_endpoint)))
            peers[-1].sendall(said)
        wait_for(lambda: all(is_closed(peer) for peer in peers))
    for lane in lanes:
        lane.close()


def test_places_filled_by_those_who_behave_are_kept(tmp_path: Path) -> None:
    lane = VerdictPublisher(f"ipc://{tmp_path}/lane")
    context = zmq.Context()
    subscribers = [context.socket(zmq.SUB) for _ in range(MAX_CONNECTIONS + 5)]
    for subscriber in subscribers:
        subscriber.linger = 0
        subscriber.subscribe("verdict.")
    for subscriber in subscribers[:MAX_CONNECTIONS]:
        subscriber.connect(lane.bound_endpoint)
    wait_for(lambda: (lane.take_subscriptions(), lane.subscriptions)[1] == MAX_CONNECTIONS)
    for subscriber in subscribers[MAX_CONNECTIONS:]:
        subscriber.connect(lane.bound_endpoint)
    wait_for(lambda: (lane.take_subscriptions(), lane._server.doorkeeper.hung_up)[1] >= 10)
    lane.send("verdict.line1.tabs", b"{}")
    assert all(subscriber.poll(PATIENCE_S * 1000) for subscriber in subscribers[:MAX_CONNECTIONS])
    context.destroy(linger=0)
    lane.close()


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "ipc://{folder}/lane", "ipc://@lane-{pid}"])
def test_a_peer_with_too_many_subscriptions_is_hung_up_on(tmp_path: Path, endpoint: str) -> None:
    try:
        lane = VerdictPublisher(endpoint.format(folder=tmp_path, pid=os.getpid()))
    except PublishError:
        assert "::1" in endpoint
        pytest.skip("no IPv6 here")
    topics = tuple(f"t{n}" for n in range(MAX_TOPICS + 1))
    with VerdictSubscriber(lane.bound_endpoint) as good:
        wait_for(lambda: (lane.take_subscriptions(), lane.subscriptions)[1] == len(VERDICT_TOPICS))
        with VerdictSubscriber(lane.bound_endpoint, topics):
            wait_for(lambda: (lane.take_subscriptions(), lane._server.doorkeeper.hung_up)[1] > 0)
            lane.send("verdict.line1.tabs", b"{}")
            assert good.receive(PATIENCE_S) is not None
    lane.close()


def test_an_upstream_message_that_is_no_subscription_ends_its_connection(tmp_path: Path) -> None:
    lane = VerdictPublisher(f"ipc://{tmp_path}/lane")
    with zmq.Context() as context, context.socket(zmq.XSUB) as peer:
        peer.linger = 0
        peer.connect(lane.bound_endpoint)
        peer.send(b"hello")
        wait_for(lambda: (lane.take_subscriptions(), lane._server.doorkeeper.hung_up)[1] > 0)
    assert lane.subscriptions == 0
    lane.close()


def test_an_announced_gigabyte_ends_only_its_own_connection() -> None:
    server = ControlServer("tcp://127.0.0.1:0")
    with dial(server.bound_endpoint) as peer:
        peer.sendall(GREETING + ready(b"DEALER") + b"\x02" + struct.pack(">Q", 1 << 30) + b"x" * 1000)
        wait_for(lambda: is_closed(peer))
    assert list(server.requests()) == []
    with ControlClient(server.bound_endpoint) as client:
        client._client.socket.send(b"{}")
        wait_for(lambda: [server.reply(request.peer, {}) for request in server.requests()])
        assert client._client.receive(PATIENCE_S) == [b"{}"]
    server.close()
