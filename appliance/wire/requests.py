"""Both ends of a request lane: a ROUTER that strangers may throw anything at, and a client that asks it.

REQ and DEALER clients both work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

import zmq

from appliance.errors import PeerSilent
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.keys import KeyStore
from appliance.wire.sockets import ClientSocket, ServerSocket

MAX_FRAMES = 8
"""Longer messages are thrown away: no request of ours has more."""


@dataclass(frozen=True)
class Peer:
    """Where a request came from; an answer needs it. `envelope` is opaque."""

    envelope: tuple[bytes, ...]
    client: str = ""
    """The client's name by its key; empty on an endpoint without keys."""


class RequestLane:
    """Takes messages in and sends answers; never blocks, never raises for what a peer does.

    What the control and the replay endpoint have in common. One thread; sits in a select loop as
    `appliance.wire.sockets` says.

    Attributes:
        bound_endpoint: The endpoint with its real port, where 0 was asked for.
        dropped: Answers a peer did not take: gone, or too slow to read what it asked for.
        garbage: Messages that can't be a request of any kind.
    Raises:
        PublishError: Endpoint busy, malformed, or open to others without keys.
        KeysError: The box's keys are damaged or open to others.
    """

    def __init__(
        self, endpoint: str, *, role: Role, keys: KeyStore | None, setting: str, max_frame_bytes: int, sndhwm: int
    ) -> None:
        self._server = ServerSocket(
            zmq.ROUTER,
            endpoint,
            role=role,
            keys=keys,
            setting=setting,
            max_frame_bytes=max_frame_bytes,
            sndhwm=sndhwm,
            options={zmq.ROUTER_MANDATORY: 1},
        )
        self.bound_endpoint = self._server.bound_endpoint
        self.dropped = 0
        self.garbage = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits: ask right before sleeping."""
        return self._server.is_waiting

    def fileno(self) -> int:
        """Descriptor that ends a sleep."""
        return self._server.fileno()

    def messages(self, limit: int) -> Iterator[tuple[Peer, list[bytes]]]:
        """Yield up to `limit` waiting messages without their envelope; each has at least one frame."""
        for _ in range(limit):
            try:
                frames = self._receive()
            except zmq.Again:
                return
            connection = self._server.doorkeeper.identify(frames[-1])
            if connection is None:
                continue
            parts = [frame.bytes for frame in frames]
            envelope_length = 2 if len(parts) > 1 and not parts[1] else 1
            body = parts[envelope_length:]
            if body and len(parts) <= MAX_FRAMES:
                yield Peer(tuple(parts[:envelope_length]), connection.client), body
            else:
                self.garbage += 1

    def send_frames(self, peer: Peer, frames: list[bytes]) -> bool:
        """Answer; False when the peer has gone or reads too slowly (counted)."""
        try:
            self._server.socket.send_multipart([*peer.envelope, *frames], zmq.DONTWAIT)
        except zmq.ZMQError:  # EAGAIN: its queue is full; EHOSTUNREACH: gone
            self.dropped += 1
            return False
        return True

    def close(self) -> None:
        """Close; answers on their way still go out for half a second."""
        self._server.close()

    def _receive(self) -> list[zmq.Frame]:
        """Read one message, keeping the first frames only: a peer decides how many there are."""
        socket = self._server.socket
        frames = [socket.recv(zmq.DONTWAIT, copy=False)]
        while frames[-1].more:
            frame = socket.recv(zmq.DONTWAIT, copy=False)
            if len(frames) <= MAX_FRAMES:
                frames.append(frame)
            else:
                frames[-1] = frame
        return frames


class RequestClient:
    """Asks a request lane. One thread, one question at a time."""

    def __init__(self, endpoint: str, keys: ClientKeys | None, *, max_frame_bytes: int) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._max_frame_bytes = max_frame_bytes
        self._client = self._connect()

    def exchange(self, frames: Sequence[bytes], timeout_s: float) -> list[bytes]:
        """Send a question and wait for its answer.

        Raises:
            PeerSilent: No answer in time; the request may have been carried out or not.
        """
        answer = self._client.receive(timeout_s) if self._client.send(*frames) else None
        if not answer:
            self.give_up(timeout_s)
        return answer

    def give_up(self, waited_s: float) -> NoReturn:
        """Connect anew: an answer that comes later must not be taken for the next question's.

        Raises:
            PeerSilent: Always; says why there may be no answer.
        """
        silence = self._client.silence(waited_s)
        self._client.close()
        self._client = self._connect()
        raise PeerSilent(silence)

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> ClientSocket:
        return ClientSocket(zmq.DEALER, self._endpoint, keys=self._keys, max_frame_bytes=self._max_frame_bytes)
