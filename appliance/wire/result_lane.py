"""The result lane: committed records for the MES. XPUB on the box, SUB for whoever follows it.

    [result.<line>.<station>]     [{"epoch", "seq"}]  [record JSON]
    [heartbeat.<line>.<station>]  [{"epoch", "head_seq", "oldest_seq", "at"}]      each second
    [welcome {"epoch", "head_seq", "oldest_seq", "at"}]                            once at each connect

Simulated lines put "sim." before the topic. A peer that is too slow loses messages: it sees a step in `seq`, and a
lost tail in the next heartbeat, and asks replay for what it lacks. One journal has one run of numbers for all topics:
what a subscriber takes for a gap may be rows of topics it doesn't follow, and replay gives those too.
"""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import zmq

from appliance.clock import rfc3339
from appliance.errors import PublishError
from appliance.wire.broadcast import BroadcastLane, welcome_frame
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.keys import KeyStore
from appliance.wire.sockets import ClientSocket

RESULT_TOPICS = ("result.", "sim.result.")
_HEAD_TOPICS = ("heartbeat.", "sim.heartbeat.", "welcome")
_SNDHWM = 10_000
MAX_RECORD_BYTES = 16 * 1024 * 1024


def heartbeat_topic(line: str, station: str, *, is_simulated: bool) -> str:
    """Name the heartbeat's topic."""
    topic = f"heartbeat.{line}.{station}"
    return f"sim.{topic}" if is_simulated else topic


class ResultPublisher(BroadcastLane):
    """Binds the result lane."""

    def __init__(self, endpoint: str, keys: KeyStore | None = None) -> None:
        super().__init__(endpoint, role=Role.RESULT, keys=keys, setting="recorder.result_endpoint", sndhwm=_SNDHWM)

    def publish(self, topic: str, epoch: str, seq: int, body: bytes) -> None:
        """Send one committed record; never blocks."""
        place = json.dumps({"epoch": epoch, "seq": seq}, separators=(",", ":"))
        self.send_frames((topic.encode(), place.encode(), body))

    def heartbeat(self, topic: str, epoch: str, head_seq: int, oldest_seq: int, unix_ns: int) -> None:
        """Say where the journal stands, each second and at the start; peers that connect later are greeted with it."""
        head = {"epoch": epoch, "head_seq": head_seq, "oldest_seq": oldest_seq, "at": rfc3339(unix_ns)}
        message = json.dumps(head, separators=(",", ":")).encode()
        self.set_welcome(message)
        self.send_frames((topic.encode(), message))


@dataclass(frozen=True)
class Result:
    """One committed record."""

    topic: str
    epoch: str
    seq: int
    body: bytes


@dataclass(frozen=True)
class Heartbeat:
    """Where the journal stands; `topic` is "welcome" for the greeting at a connect."""

    topic: str
    epoch: str
    head_seq: int
    oldest_seq: int
    at: str


@dataclass(frozen=True)
class Gap:
    """Rows that were published but did not arrive: ask replay for them."""

    epoch: str
    first_seq: int
    last_seq: int


class ResultSubscriber:
    """Follows the lane and reports what it missed. One thread.

    Args:
        topics: Result prefixes; heartbeats and the greeting come besides.
        epoch: With `next_seq`, where the caller stands: rows before the first one received are then reported too.
            Without, whatever comes first is where it starts.

    Raises:
        PublishError: Not a ZeroMQ endpoint.
    """

    def __init__(
        self,
        endpoint: str,
        topics: tuple[str, ...] = RESULT_TOPICS,
        *,
        epoch: str | None = None,
        next_seq: int = 1,
        keys: ClientKeys | None = None,
    ) -> None:
        self._client = ClientSocket(zmq.SUB, endpoint, keys=keys, max_frame_bytes=MAX_RECORD_BYTES)
        for topic in (*topics, *_HEAD_TOPICS):
            self._client.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._epoch = epoch
        self._next_seq = next_seq
        self._waiting: Result | Heartbeat | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the recorder answers: False from 1.5 s after its last heartbeat on."""
        return self._client.is_connected

    def fileno(self) -> int:
        """Descriptor that ends a sleep; then `receive(0)` until None."""
        return self._client.fileno()

    def receive(self, timeout_s: float) -> Result | Heartbeat | Gap | None:
        """Wait for one message; a gap comes before the message that revealed it. None after the time-out.

        Raises:
            PublishError: The message is none of this lane's.
        """
        message, self._waiting = self._waiting, None
        if message is not None:
            return message
        frames = self._client.receive(timeout_s)
        if frames is None:
            return None
        message = decode_message(frames)
        gap = self._step(message)
        if gap is not None:
            self._waiting = message
        return gap or message

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _step(self, message: Result | Heartbeat) -> Gap | None:
        """Move on to the row after the message's; give the rows that were skipped."""
        last_seen = message.seq - 1 if isinstance(message, Result) else message.head_seq
        if self._epoch is None:
            self._next_seq = last_seen + 1
        elif message.epoch != self._epoch:
            self._next_seq = 1  # the journal was made anew
        self._epoch = message.epoch
        gap = Gap(message.epoch, self._next_seq, last_seen) if last_seen >= self._next_seq else None
        self._next_seq = max(self._next_seq, last_seen + (2 if isinstance(message, Result) else 1))
        return gap


def decode_message(frames: list[bytes]) -> Result | Heartbeat:
    """Read a message of the lane.

    Raises:
        PublishError: It is none of this lane's.
    """
    try:
        match frames:
            case [topic, place, body]:
                fields = json.loads(place)
                return Result(topic.decode(), fields["epoch"], fields["seq"], body)
            case [topic, head]:
                return _heartbeat(topic, head)
            case [welcome]:
                return _heartbeat(*welcome_frame(welcome))
    except (ValueError, KeyError, TypeError) as error:
        raise PublishError(f"result lane: message {frames[0][:60]!r} is damaged: {error!r}") from error
    raise PublishError(f"result lane: message {frames[0][:60]!r} has {len(frames)} frames: another version?")


def _heartbeat(topic: bytes, head: bytes) -> Heartbeat:
    fields = json.loads(head)
    return Heartbeat(topic.decode(), fields["epoch"], fields["head_seq"], fields["oldest_seq"], fields["at"])
