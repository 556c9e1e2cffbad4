"""Replay and acknowledgement: DEALER (or REQ) → ROUTER. ASCII frames, numbers in decimal.

    GET epoch from to          -> ROWS epoch head seq body seq body …     at most 500 rows or 256 KiB: ask on
                                | GONE oldest                             retention has deleted `from`
                                | BADEPOCH epoch                          the journal is another one; its epoch
    ACK consumer epoch seq     -> ACKED consumer seq
    HEAD                       -> HEAD epoch oldest head                  0 0 while the journal is empty
    anything else              -> ERROR text

`from` and `to` include both ends; a `to` beyond the head is the head. With keys a consumer is its key's name.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.wire.client_keys import Role
from appliance.wire.keys import KeyStore
from appliance.wire.requests import Peer, RequestLane

MAX_ROWS = 500
MAX_REPLY_BYTES = 256 * 1024
MAX_REQUEST_BYTES = 1024  # a CURVE handshake needs more than 256
MAX_SEQ = 2**63 - 1
_SNDHWM = 16
"""Answers that wait for one peer: with the size of an answer what a peer that never reads can cost, 4 MiB."""
_BATCH = 16
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_WORD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True)
class Get:
    """Rows `first_seq`..`last_seq` are wanted; both at least 1."""

    peer: Peer
    epoch: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True)
class Ack:
    """A consumer has everything up to `seq`."""

    peer: Peer
    consumer: str
    epoch: str
    seq: int


@dataclass(frozen=True)
class Head:
    """The journal's epoch and ends are wanted."""

    peer: Peer


@dataclass(frozen=True)
class Rows:
    """Answer to Get: rows in ascending order, each (seq, JSON)."""

    epoch: str
    head_seq: int
    rows: Sequence[tuple[int, bytes]]


@dataclass(frozen=True)
class Gone:
    """Answer to Get: retention has deleted the first row asked for."""

    oldest_seq: int


@dataclass(frozen=True)
class BadEpoch:
    """Answer to Get and Ack: the journal's epoch is this one."""

    epoch: str


@dataclass(frozen=True)
class Acked:
    """Answer to Ack: what is on record for the consumer now."""

    consumer: str
    seq: int


@dataclass(frozen=True)
class JournalHead:
    """Answer to Head; both 0 while the journal is empty."""

    epoch: str
    oldest_seq: int
    head_seq: int


@dataclass(frozen=True)
class Refused:
    """Answer to anything: why not, in one line."""

    text: str


Request = Get | Ack | Head
Answer = Rows | Gone | BadEpoch | Acked | JournalHead | Refused


class ReplayServer(RequestLane):
    """Binds the endpoint and gives parsed requests to its owner.

    for request in server.requests():
        server.reply(request, journal_answer(request))
    """

    def __init__(self, endpoint: str, keys: KeyStore | None = None) -> None:
        super().__init__(
            endpoint,
            role=Role.RESULT,
            keys=keys,
            setting="recorder.replay_endpoint",
            max_frame_bytes=MAX_REQUEST_BYTES,
            sndhwm=_SNDHWM,
        )
        self.invalid = 0
        """Messages that were no request."""

    def requests(self, limit: int = _BATCH) -> Iterator[Request]:
        """Yield waiting requests; what is none is answered with ERROR here."""
        for peer, frames in self.messages(limit):
            try:
                request = parse_request(peer, frames)
            except ValueError as error:
                self.invalid += 1
                self.send_frames(peer, encode_answer(Refused(str(error))))
            else:
                yield request

    def reply(self, request: Request, answer: Answer) -> bool:
        """Answer; rows beyond the limits are left out (the client asks on). False when the peer doesn't take it."""
        return self.send_frames(request.peer, encode_answer(answer))


def parse_request(peer: Peer, frames: Sequence[bytes]) -> Request:
    """Read a request strictly.

    Raises:
        ValueError: What is wrong with it, in one line.
    """
    match frames:
        case [b"GET", epoch, first, last]:
            request = Get(peer, _word("epoch", epoch), _number("from", first), _number("to", last))
            if not 1 <= request.first_seq <= request.last_seq:
                raise ValueError(f"GET {request.first_seq} {request.last_seq}: 1 <= from <= to expected")
            return request
        case [b"ACK", consumer, epoch, seq]:
            name = _word("consumer", consumer)
            if peer.client and name != peer.client:
                raise ValueError(f"ACK: this key is {peer.client}'s, it can't acknowledge for {name}")
            return Ack(peer, name, _word("epoch", epoch), _number("seq", seq))
        case [b"HEAD"]:
            return Head(peer)
    raise ValueError("GET epoch from to, ACK consumer epoch seq, or HEAD expected")


def encode_answer(answer: Answer) -> list[bytes]:
    """Write an answer's frames."""
    match answer:
        case Rows():
            return [b"ROWS", answer.epoch.encode(), b"%d" % answer.head_seq, *_row_frames(answer.rows)]
        case Gone():
            return [b"GONE", b"%d" % answer.oldest_seq]
        case BadEpoch():
            return [b"BADEPOCH", answer.epoch.encode()]
        case Acked():
            return [b"ACKED", answer.consumer.encode(), b"%d" % answer.seq]
        case JournalHead():
            return [b"HEAD", answer.epoch.encode(), b"%d" % answer.oldest_seq, b"%d" % answer.head_seq]
        case Refused():
            return [b"ERROR", answer.text.encode()]


def _row_frames(rows: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    size = 0
    for seq, body in rows[:MAX_ROWS]:
        size += len(body)
        if size > MAX_REPLY_BYTES and size > len(body):
            return  # always one row: a longer one could never be fetched
        yield b"%d" % seq
        yield body


def _number(name: str, field: bytes) -> int:
    if _NUMBER.fullmatch(field) and int(field) <= MAX_SEQ:
        return int(field)
    raise ValueError(f"{name}: a decimal number up to {MAX_SEQ} expected, got {field[:40]!r}")


def _word(name: str, field: bytes) -> str:
    if _WORD.fullmatch(field):
        return field.decode()
    raise ValueError(f"{name}: up to 64 letters, digits, '_', '.', ':' or '-' expected, got {field[:40]!r}")
