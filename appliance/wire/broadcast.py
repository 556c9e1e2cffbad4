"""The box's end of a publishing lane: an XPUB that knows its subscriptions and greets each new peer."""

from collections.abc import Sequence

import zmq

from appliance.wire.client_keys import Role
from appliance.wire.keys import KeyStore
from appliance.wire.sockets import ServerSocket

MAX_TOPICS = 64
"""Subscriptions one connection may hold: each one costs memory here."""
_MAX_SUBSCRIPTION_BYTES = 1024  # a CURVE handshake needs more than 256
_BATCH = 1000
_WELCOME_PREFIX = b"welcome "


class BroadcastLane:
    """Sends to every subscriber, never blocks: what the verdict and the result lane have in common.

    One thread; sits in a select loop as `appliance.wire.sockets` says. XPUB_NODROP stays off: with it one slow peer
    blocks all.

    Attributes:
        bound_endpoint: The endpoint with its real port, where 0 was asked for.
        garbage: Upstream messages that were no subscription.
    Raises:
        PublishError: Endpoint busy, malformed, or open to others without keys.
        KeysError: The box's keys are damaged or open to others.
    """

    def __init__(self, endpoint: str, *, role: Role, keys: KeyStore | None, setting: str, sndhwm: int) -> None:
        self._server = ServerSocket(
            zmq.XPUB,
            endpoint,
            role=role,
            keys=keys,
            setting=setting,
            max_frame_bytes=_MAX_SUBSCRIPTION_BYTES,
            sndhwm=sndhwm,
            options={zmq.XPUB_VERBOSER: 1},  # every peer's subscription, not only the first to a topic
        )
        self.bound_endpoint = self._server.bound_endpoint
        self.garbage = 0

    @property
    def is_waiting(self) -> bool:
        """Whether subscriptions wait to be taken: ask right before sleeping."""
        return self._server.is_waiting

    def fileno(self) -> int:
        """Descriptor that ends a sleep."""
        return self._server.fileno()

    @property
    def subscriptions(self) -> int:
        """Topic subscriptions of all connected peers, as of the last `take_subscriptions`."""
        return self._server.doorkeeper.topics

    def set_welcome(self, message: bytes) -> None:
        """Set the JSON that peers which connect from now on get first."""
        self._server.socket.setsockopt(zmq.XPUB_WELCOME_MSG, _WELCOME_PREFIX + message)

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Hand one message to ZeroMQ; peers beyond their high-water mark lose it."""
        self._server.socket.send_multipart(frames, zmq.DONTWAIT)

    def take_subscriptions(self, limit: int = _BATCH) -> None:
        """Read waiting subscription messages; unread ones pile up."""
        for _ in range(limit):
            try:
                frame = self._server.socket.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._take(frame)

    def close(self) -> None:
        """Close; what was handed over still goes out for half a second."""
        self._server.close()

    def _take(self, frame: zmq.Frame) -> None:
        connection = self._server.doorkeeper.identify(frame)
        step = {b"\x01": 1, b"\x00": -1}.get(frame.bytes[:1], 0)
        self.garbage += not step
        if connection is not None:
            connection.topics = max(connection.topics + step, 0)  # anybody may cancel what was never subscribed
        if not step or (connection is not None and connection.topics > MAX_TOPICS):
            self._server.doorkeeper.hang_up(frame)


def welcome_frame(frame: bytes) -> tuple[bytes, bytes]:
    """Split a welcome into topic and JSON."""
    topic, _, message = frame.partition(b" ")
    return topic, message
