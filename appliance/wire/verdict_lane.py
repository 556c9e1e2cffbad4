"""The verdict lane: ZeroMQ XPUB on the box, SUB for whoever follows it. Frames: [topic][JSON].

At most once: a subscriber that is away, slow or late to join misses verdicts, and absence means reject.

Whoever subscribes to the prefix "welcome" gets one frame, `welcome {JSON}`, at each connect (reconnects too): a SUB
throws away every message whose first frame matches none of its prefixes, and it does so with the welcome as well. The
publisher sends it when it next touches its socket; what it says was true at the last `welcome` call, and no earlier.
"""

from types import TracebackType
from typing import Self

import zmq

from appliance.wire.broadcast import BroadcastLane, welcome_frame
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.keys import KeyStore
from appliance.wire.sockets import ClientSocket

VERDICT_TOPICS = ("verdict.", "sim.verdict.")
WELCOME = "welcome"
_SNDHWM = 10_000
_MAX_FRAME_BYTES = 1024 * 1024


class VerdictPublisher(BroadcastLane):
    """Binds the verdict lane."""

    def __init__(self, endpoint: str, keys: KeyStore | None = None) -> None:
        super().__init__(endpoint, role=Role.VERDICT, keys=keys, setting="delivery.verdict_endpoint", sndhwm=_SNDHWM)

    def welcome(self, message: bytes) -> None:
        """Set the JSON every newly connected peer gets: ledger_epoch, verdict_seq."""
        self.set_welcome(message)

    def send(self, topic: str, message: bytes) -> None:
        """Hand one verdict to ZeroMQ, once; never blocks. A subscriber beyond its high-water mark loses it."""
        self.send_frames((topic.encode(), message))

    def send_state(self, topic: str, message: bytes) -> None:
        """Send a line state or heartbeat the same way: the next one makes up for a lost one."""
        self.send_frames((topic.encode(), message))


class VerdictSubscriber:
    """Follows the lane, and knows whether the publisher is there. One thread.

    Args:
        topics: Prefixes to subscribe to; default all verdicts, real and simulated. With `WELCOME` among them,
            `receive` also gives ("welcome", JSON) once a connection.
    """

    def __init__(self, endpoint: str, topics: tuple[str, ...] = VERDICT_TOPICS, keys: ClientKeys | None = None) -> None:
        self._client = ClientSocket(zmq.SUB, endpoint, keys=keys, max_frame_bytes=_MAX_FRAME_BYTES)
        for topic in topics:
            self._client.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())

    @property
    def is_connected(self) -> bool:
        """Whether the publisher answers: False from 1.5 s after its last heartbeat on."""
        return self._client.is_connected

    def fileno(self) -> int:
        """Descriptor that ends a sleep; then `receive(0)` until None."""
        return self._client.fileno()

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Wait for one message; gives (topic, JSON), or None after the time-out."""
        frames = self._client.receive(timeout_s)
        if frames is None:
            return None
        topic, message = frames if len(frames) > 1 else welcome_frame(frames[0])
        return topic.decode(), message

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
