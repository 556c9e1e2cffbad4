"""Control lane between real sockets."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from appliance.errors import PeerSilent
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.wire.control_lane import MAX_MESSAGE_BYTES, ControlClient, ControlServer


class EchoService:
    """Answers every request with itself on a thread of its own."""

    def __init__(self) -> None:
        self.server = ControlServer("tcp://127.0.0.1:0")
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.server.fileno(), zmq.POLLIN)
        while not self._is_stopping:
            for peer, client, body in self.server.requests():
                self.server.reply(peer, {"id": body.get("id"), "status": "ok", "client": client})
            if not self.server.is_waiting:
                poller.poll(50)
        self.server.close()

    def stop(self) -> None:
        self._is_stopping = True
        self._thread.join()


@pytest.fixture
def service() -> Iterator[EchoService]:
    service = EchoService()
    yield service
    service.stop()


def test_a_question_gets_its_answer(service: EchoService) -> None:
    with ControlClient(service.server.bound_endpoint) as client:
        for number in range(200):
            assert client.ask({"request": "line.state", "id": number}, PATIENCE_S)["id"] == number


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
@pytest.mark.parametrize(
    "message",
    [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"null", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 20_000, b"9" * 5000],
)
def test_what_is_no_json_object_is_answered_as_invalid(service: EchoService, message: bytes, kind: int) -> None:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.connect(service.server.bound_endpoint)
        socket.send_multipart([message] if message or kind == zmq.REQ else [b"", message])
        assert socket.poll(PATIENCE_S * 1000)
        assert b'"status":"invalid"' in socket.recv_multipart()[-1]
    assert service.server.invalid == 1


def test_an_oversized_message_ends_only_its_own_connection(service: EchoService) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(service.server.bound_endpoint)
        socket.send(b'{"x":"' + b"x" * MAX_MESSAGE_BYTES + b'"}')
        with ControlClient(service.server.bound_endpoint) as client:
            assert client.ask({"id": 1}, PATIENCE_S)["status"] == "ok"
        assert not socket.poll(100)
    assert service.server.invalid == 0


def test_nobody_there_is_one_clear_error(tmp_path: object) -> None:
    with (
        ControlClient(f"ipc://{tmp_path}/nobody") as client,
        pytest.raises(PeerSilent, match=r"no answer within 0\.2 s: nothing there"),
    ):
        client.ask({"request": "line.state"}, 0.2)


def test_a_client_outlives_a_server_of_another_kind(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/control"
    with zmq.Context() as context, context.socket(zmq.ROUTER) as demands_keys:
        demands_keys.linger = 0
        demands_keys.curve_server = True
        demands_keys.curve_secretkey = zmq.curve_keypair()[1]
        demands_keys.bind(endpoint)
        with ControlClient(endpoint) as client:
            wait_for(lambda: "our key is missing" in silence(client))
            for _ in range(3):
                assert "our key is missing" in silence(client)
            demands_keys.close()
            server = ControlServer(endpoint)
            answered = threading.Thread(target=lambda: answer_one(server))
            answered.start()
            assert ask_until_answered(client)["status"] == "ok"
            answered.join()
            server.close()


def silence(client: ControlClient) -> str:
    with pytest.raises(PeerSilent) as silent:
        client.ask({}, 0.1)
    return str(silent.value)


def ask_until_answered(client: ControlClient) -> dict[str, Any]:
    """A question that was queued for the old server goes with it: whoever asked asks again."""
    for _ in range(20):
        with contextlib.suppress(PeerSilent):
            return client.ask({}, 1)
    pytest.fail("no answer")


def answer_one(server: ControlServer) -> None:
    while not any(server.reply(peer, {"status": "ok"}) for peer, _, _ in server.requests()):
        time.sleep(0.005)
