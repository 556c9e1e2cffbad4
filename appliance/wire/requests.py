"""The box's end of a request lane: a ROUTER that strangers may throw anything at. REQ and DEALER clients both work."""

from collections.abc import Iterator
from dataclasses import dataclass

import zmq

from appliance.wire.client_keys import Role
from appliance.wire.keys import KeyStore
from appliance.wire.sockets import ServerSocket

MAX_FRAMES = 8
"""Longer messages are thrown away: no request of ours has more."""


@dataclass(frozen=True)
class Peer:
    """Where a request came from; an answer needs it. `envelope` is opaque."""

    envelope: tuple[bytes, ...]
    client: str = ""
    """The client's name by its key; empty on an endpoint without keys."""


class RequestSocket:
    """Takes messages in and sends answers; never blocks, never raises for what a peer does.

    Attributes:
        dropped: Answers a peer did not take: gone, or too slow to read what it asked for.
        garbage: Messages that can't be a request of any kind.
    """

    def __init__(
        self, endpoint: str, *, role: Role, keys: KeyStore | None, setting: str, max_frame_bytes: int, sndhwm: int
    ) -> None:
        self.server = ServerSocket(
            zmq.ROUTER,
            endpoint,
            role=role,
            keys=keys,
            setting=setting,
            max_frame_bytes=max_frame_bytes,
            sndhwm=sndhwm,
            options={zmq.ROUTER_MANDATORY: 1},
        )
        self.dropped = 0
        self.garbage = 0

    def messages(self, limit: int) -> Iterator[tuple[Peer, list[bytes]]]:
        """Yield up to `limit` waiting messages without their envelope; each has at least one frame."""
        for _ in range(limit):
            try:
                frames = self._receive()
            except zmq.Again:
                return
            connection = self.server.doorkeeper.identify(frames[-1])
            if connection is None:
                continue
            parts = [frame.bytes for frame in frames]
            envelope_length = 2 if len(parts) > 1 and not parts[1] else 1
            body = parts[envelope_length:]
            if body and len(parts) <= MAX_FRAMES:
                yield Peer(tuple(parts[:envelope_length]), connection.client), body
            else:
                self.garbage += 1

    def send(self, peer: Peer, frames: list[bytes]) -> bool:
        """Answer; False when the peer has gone or reads too slowly (counted)."""
        try:
            self.server.socket.send_multipart([*peer.envelope, *frames], zmq.DONTWAIT)
        except zmq.ZMQError:  # EAGAIN: its queue is full; EHOSTUNREACH: gone
            self.dropped += 1
            return False
        return True

    def _receive(self) -> list[zmq.Frame]:
        """Read one message, keeping the first frames only: a peer decides how many there are."""
        socket = self.server.socket
        frames = [socket.recv(zmq.DONTWAIT, copy=False)]
        while frames[-1].more:
            frame = socket.recv(zmq.DONTWAIT, copy=False)
            if len(frames) <= MAX_FRAMES:
                frames.append(frame)
            else:
                frames[-1] = frame
        return frames
