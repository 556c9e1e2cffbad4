"""The box's end of a publishing lane: an XPUB that knows its subscriptions and greets each new peer."""

from collections.abc import Sequence

import zmq

from appliance.wire.sockets import ServerSocket

_MAX_SUBSCRIPTION_BYTES = 256
_BATCH = 1000
_WELCOME_PREFIX = b"welcome "


class BroadcastSocket:
    """Sends to every subscriber, never blocks. Used by the verdict and the result lane.

    XPUB_NODROP stays off: with it one slow peer blocks all.

    Attributes:
        subscriptions: Topic subscriptions seen so far and not taken back, over all peers.
        garbage: Upstream messages that were no subscription.
    """

    def __init__(self, endpoint: str, *, setting: str, sndhwm: int) -> None:
        self.server = ServerSocket(
            zmq.XPUB,
            endpoint,
            setting=setting,
            max_frame_bytes=_MAX_SUBSCRIPTION_BYTES,
            sndhwm=sndhwm,
            options={zmq.XPUB_VERBOSER: 1},  # every peer's subscription, not only the first to a topic
        )
        self.subscriptions = 0
        self.garbage = 0

    def set_welcome(self, message: bytes) -> None:
        """Set the JSON that peers which connect from now on get first."""
        self.server.socket.setsockopt(zmq.XPUB_WELCOME_MSG, _WELCOME_PREFIX + message)

    def send(self, frames: Sequence[bytes]) -> None:
        """Hand one message to ZeroMQ; peers beyond their high-water mark lose it."""
        self.server.socket.send_multipart(frames, zmq.DONTWAIT)

    def take_subscriptions(self, limit: int = _BATCH) -> None:
        """Read waiting subscription messages; unread ones pile up."""
        for _ in range(limit):
            try:
                message = self.server.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            if message[:1] == b"\x01":
                self.subscriptions += 1
            elif message[:1] == b"\x00":
                self.subscriptions -= 1
            else:
                self.garbage += 1


def welcome_frame(frame: bytes) -> tuple[bytes, bytes]:
    """Split a welcome into topic and JSON."""
    topic, _, message = frame.partition(b" ")
    return topic, message
