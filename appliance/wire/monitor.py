"""What libzmq tells about a socket's connections: accepted, handshake done or failed, disconnected."""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import zmq

_WATCHED = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)
_numbers = itertools.count()


@dataclass(frozen=True)
class ConnectionEvent:
    """One event; `value` is the connection's descriptor for accepted and disconnected, else a code."""

    kind: int
    value: int


class Monitor:
    """The reading end of a socket's events. One thread at a time.

    libzmq's I/O thread *blocks* when events are not read and their queue is full: this queue has no limit, and
    whoever holds a monitor reads it now and then.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", watched: "zmq.Socket[bytes]") -> None:
        address = f"inproc://monitor.{next(_numbers)}"
        self._watched = watched
        watched.monitor(address, _WATCHED)
        self.socket: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(address)

    def events(self) -> Iterator[ConnectionEvent]:
        """Yield events until none waits."""
        while True:
            try:
                head, _endpoint = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            yield ConnectionEvent(*struct.unpack("=hi", head))

    def close(self) -> None:
        """Stop watching; the watched socket must still be open."""
        self._watched.disable_monitor()
        self.socket.close(0)
