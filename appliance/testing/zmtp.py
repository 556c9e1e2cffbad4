"""ZeroMQ's wire protocol (ZMTP 3, rfc.zeromq.org/spec/37) by hand: to say what no ZeroMQ library would say."""

import contextlib
import socket
import struct
import time

GREETING_BYTES = 64
_MORE, _LONG, _COMMAND = 1, 2, 4


def greeting(mechanism: bytes = b"NULL") -> bytes:
    """The first 64 bytes of a client."""
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def frame(body: bytes, *, more: bool = False, command: bool = False) -> bytes:
    """One frame; long form where the body needs it."""
    flags = _MORE * more | _COMMAND * command
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | _LONG]) + struct.pack(">Q", len(body)) + body


def message(*bodies: bytes) -> bytes:
    """A multipart message."""
    return b"".join(frame(body, more=True) for body in bodies[:-1]) + frame(bodies[-1])


def ready(socket_type: bytes) -> bytes:
    """The command that ends a NULL handshake."""
    return frame(b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type, command=True)


def dial(endpoint: str, timeout_s: float = 5.0) -> socket.socket:
    """Connect to a tcp:// or ipc:// endpoint, saying nothing.

    Raises:
        OSError: Nobody listens.
    """
    transport, _, address = endpoint.partition("://")
    if transport == "tcp":
        host, _, port = address.rpartition(":")
        wildcards = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1"}  # noqa: S104 (what a server bound, not a bind of ours)
        return socket.create_connection((wildcards.get(host, host.strip("[]")), int(port)), timeout_s)
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(timeout_s)
    try:
        peer.connect(address)
    except OSError:
        peer.close()
        raise
    return peer


class RawPeer:
    """A client without keys that went through the handshake, on a plain socket.

    Raises:
        OSError: Nobody listens, or it hung up.
    """

    def __init__(self, endpoint: str, socket_type: bytes, timeout_s: float = 5.0) -> None:
        self._socket = dial(endpoint, timeout_s)
        self._received = b""
        try:
            self._socket.sendall(greeting() + ready(socket_type))
            self._fill(GREETING_BYTES)
            self._received = self._received[GREETING_BYTES:]
        except OSError:
            self._socket.close()
            raise

    def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(raw)

    def receive(self, timeout_s: float) -> list[bytes] | None:
        """Wait for one message; commands (READY, heartbeats) are skipped. None after the time-out.

        Raises:
            ConnectionError: The server hung up.
        """
        end_s = time.monotonic() + timeout_s
        bodies: list[bytes] = []
        while True:
            self._socket.settimeout(max(end_s - time.monotonic(), 0.001))
            try:
                flags, body = self._frame()
            except TimeoutError:
                return None
            if flags & _COMMAND:
                continue
            bodies.append(body)
            if not flags & _MORE:
                return bodies

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _frame(self) -> tuple[int, bytes]:
        self._fill(2)
        is_long = bool(self._received[0] & _LONG)
        head = 9 if is_long else 2
        self._fill(head)
        length = struct.unpack(">Q", self._received[1:9])[0] if is_long else self._received[1]
        self._fill(head + length)
        flags, body = self._received[0], self._received[head : head + length]
        self._received = self._received[head + length :]
        return flags, body

    def _fill(self, size: int) -> None:
        while len(self._received) < size:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError("the server hung up")
            self._received += piece
