"""Replay between real sockets: a list of rows stands in for the journal."""

import threading
from collections.abc import Iterator

import pytest
import zmq

from appliance.errors import PeerSilent, PublishError
from appliance.testing.patience import PATIENCE_S
from appliance.wire.replay import (
    MAX_REPLY_BYTES,
    MAX_ROWS,
    Ack,
    Acked,
    Answer,
    BadEpoch,
    Get,
    Gone,
    Head,
    JournalHead,
    Refused,
    ReplayServer,
    Request,
    Rows,
)
from appliance.wire.replay_client import ReplayClient

EPOCH = "e1"


class RowService:
    """Answers from rows 11..2010 on a thread of its own, as the recorder does."""

    def __init__(self, body: bytes = b"{}") -> None:
        self.server = ReplayServer("tcp://127.0.0.1:0")
        self._rows = [(seq, body) for seq in range(11, 2011)]
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.server.fileno(), zmq.POLLIN)
        while not self._is_stopping:
            for request in self.server.requests():
                self.server.reply(request, self._answer(request))
            if not self.server.is_waiting:
                poller.poll(50)
        self.server.close()

    def _answer(self, request: Request) -> Answer:
        match request:
            case Head():
                return JournalHead(EPOCH, 11, 2010)
            case Ack(consumer=consumer, seq=seq):
                return Acked(consumer, seq) if seq <= 2010 else Refused("beyond the head")
            case Get(epoch=epoch) if epoch != EPOCH:
                return BadEpoch(EPOCH)
            case Get(first_seq=first) if first < 11:
                return Gone(11)
            case Get(first_seq=first, last_seq=last):
                return Rows(EPOCH, 2010, [row for row in self._rows if first <= row[0] <= last])

    def stop(self) -> None:
        self._is_stopping = True
        self._thread.join()


@pytest.fixture
def service() -> Iterator[RowService]:
    service = RowService()
    yield service
    service.stop()


@pytest.fixture
def client(service: RowService) -> Iterator[ReplayClient]:
    with ReplayClient(service.server.bound_endpoint) as client:
        yield client


def test_rows_come_in_pieces_until_the_range_is_done(client: ReplayClient) -> None:
    fetched: list[int] = []
    while len(fetched) < 1990:
        answer = client.get(EPOCH, fetched[-1] + 1 if fetched else 21, 2**63 - 1, PATIENCE_S)
        assert isinstance(answer, Rows)
        assert len(answer.rows) <= MAX_ROWS
        fetched += [seq for seq, _ in answer.rows]
    assert fetched == list(range(21, 2011))
    assert client.get(EPOCH, 2011, 2011, PATIENCE_S) == Rows(EPOCH, 2010, [])


def test_large_rows_are_cut_to_the_size_of_an_answer() -> None:
    service = RowService(body=b"x" * (MAX_REPLY_BYTES // 3))
    with ReplayClient(service.server.bound_endpoint) as client:
        answer = client.get(EPOCH, 11, 100, PATIENCE_S)
    service.stop()
    assert isinstance(answer, Rows)
    assert [seq for seq, _ in answer.rows] == [11, 12, 13]


def test_deleted_rows_and_another_journal_are_named(client: ReplayClient) -> None:
    assert client.get(EPOCH, 1, 20, PATIENCE_S) == Gone(11)
    assert client.get("other", 1, 20, PATIENCE_S) == BadEpoch(EPOCH)
    assert client.head(PATIENCE_S) == JournalHead(EPOCH, 11, 2010)


def test_acknowledgements_are_confirmed_or_refused(client: ReplayClient) -> None:
    assert client.acknowledge("mes", EPOCH, 2010, PATIENCE_S) == Acked("mes", 2010)
    with pytest.raises(PublishError, match="beyond the head"):
        client.acknowledge("mes", EPOCH, 2011, PATIENCE_S)


def test_a_req_socket_works_as_well(service: RowService) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(service.server.bound_endpoint)
        socket.send_multipart([b"HEAD"])
        assert socket.poll(PATIENCE_S * 1000)
        assert socket.recv_multipart() == [b"HEAD", b"e1", b"11", b"2010"]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"GET", b"e1", b"1"], "GET epoch from to"),
        ([b"GET", b"e1", b"0", b"5"], "1 <= from <= to"),
        ([b"GET", b"e1", b"6", b"5"], "1 <= from <= to"),
        ([b"GET", b"e1", b"+1", b"5"], "from: a decimal number"),
        ([b"GET", b"e1", b"1", b"9" * 19], "to: a decimal number"),
        ([b"GET", b"e1", "\u0661".encode(), b"5"], "from: a decimal number"),
        ([b"GET", b"../etc", b"1", b"5"], "epoch: up to 64"),
        ([b"ACK", b"a b", b"e1", b"5"], "consumer: up to 64"),
        ([b"ACK", b"", b"e1", b"5"], "consumer: up to 64"),
        ([b"HEAD", b""], "GET epoch from to"),
        ([b"get", b"e1", b"1", b"5"], "GET epoch from to"),
        ([b"\xff\x00"], "GET epoch from to"),
    ],
)
def test_what_is_no_request_gets_a_clear_error(service: RowService, frames: list[bytes], says: str) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(service.server.bound_endpoint)
        socket.send_multipart(frames)
        assert socket.poll(PATIENCE_S * 1000)
        kind, text = socket.recv_multipart()
    assert kind == b"ERROR"
    assert says in text.decode()
    assert service.server.invalid == 1


def test_messages_of_many_frames_and_nothing_but_envelope_are_thrown_away(service: RowService) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(service.server.bound_endpoint)
        socket.send_multipart([b"GET"] * 10_000)
        socket.send_multipart([b""])
        socket.send_multipart([b"HEAD"])
        assert socket.poll(PATIENCE_S * 1000)
        assert socket.recv_multipart()[0] == b"HEAD"


def test_a_peer_that_asks_and_never_reads_costs_counted_answers_and_nobody_else() -> None:
    service = RowService(body=b"x" * 2000)
    with zmq.Context() as context, context.socket(zmq.DEALER) as greedy:
        greedy.linger = 0
        greedy.rcvhwm = 1
        greedy.connect(service.server.bound_endpoint)
        for _ in range(200):
            greedy.send_multipart([b"GET", b"e1", b"11", b"510"])
        with ReplayClient(service.server.bound_endpoint) as client:
            while not service.server.dropped:
                assert client.head(PATIENCE_S).head_seq == 2010
    service.stop()


def test_a_silent_server_is_named_and_its_late_answer_is_not_mistaken(tmp_path: object) -> None:
    server = ReplayServer(f"ipc://{tmp_path}/replay")
    with ReplayClient(server.bound_endpoint) as client:
        with pytest.raises(PeerSilent, match=r"no answer within 0\.2 s"):
            client.head(0.2)
        answered = 0
        with pytest.raises(PeerSilent):
            client.head(0.2)
        for request in server.requests():
            answered += server.reply(request, JournalHead("late", 1, 1))
        with pytest.raises(PeerSilent):
            client.get(EPOCH, 1, 1, 0.2)
    server.close()
