"""AF_UNIX SOCK_SEQPACKET: one datagram a message, ordered, and the kernel says when a peer is gone.

Traps this file exists for (each one seen on Linux 6, Python 3.11):

- A killed sender that left input unread gives its peer ECONNRESET first, *then* all datagrams it had queued, then
  EOF: `drain` reads on.
- `socket.recv_fds` returns inheritable descriptors: MSG_CMSG_CLOEXEC here.
- A peer may die between connect and accept, or before its first message: every call treats that as "gone".
- An empty datagram can't be told from EOF: none is ever sent.
"""

import array
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

MAX_DATAGRAM_BYTES = 64 * 1024
_MSG_CMSG_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0x40000000)
_MAX_FDS = 1


def listen(path: Path) -> socket.socket:
    """Bind and listen without blocking; a socket file left by a dead process is replaced.

    Raises:
        OSError: The directory is missing or not writable.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        server.bind(str(path))
        path.chmod(0o600)
        server.listen(16)
    except OSError:
        server.close()
        raise
    return server


def connect(path: Path) -> socket.socket | None:
    """Connect without blocking; None when nobody listens there now, or accepts (backlog full: a stopped writer)."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        peer.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BlockingIOError):
        peer.close()
        return None
    except OSError:
        peer.close()
        raise
    return peer


def accept(server: socket.socket) -> socket.socket | None:
    """Accept one waiting peer; None when none waits or it has already gone."""
    try:
        peer, _ = server.accept()
    except (BlockingIOError, ConnectionError):
        return None
    peer.setblocking(False)
    return peer


def send(peer: socket.socket, message: bytes, fd: int | None = None) -> bool:
    """Send one datagram, with a file descriptor if given; never blocks.

    Returns:
        False when the peer's buffer is full: the message was not sent.
    Raises:
        ConnectionError: The peer is gone.
    """
    ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    try:
        peer.sendmsg([message], ancillary, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ConnectionError(f"peer gone while sending {len(message)} bytes: {error.strerror}") from error
    return True


def drain(peer: socket.socket, limit: int = 1024) -> Iterator[tuple[bytes, int | None]]:
    """Yield waiting datagrams, each with the descriptor it carried (the receiver closes it), until none waits.

    Raises:
        EOFError: The peer has gone and everything it sent was yielded.
    """
    resets = 0
    for _ in range(limit):
        try:
            message, ancillary, _, _ = peer.recvmsg(
                MAX_DATAGRAM_BYTES, socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize), _MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except ConnectionResetError:
            resets += 1
            if resets > 1:
                raise EOFError("peer gone") from None
            continue
        if not message:
            raise EOFError("peer gone")
        yield message, _descriptor(ancillary)


def drain_messages(peer: socket.socket) -> Iterator[bytes]:
    """Yield waiting datagrams as `drain` does, for peers that have no business sending descriptors: closes those.

    Raises:
        EOFError: The peer has gone and everything it sent was yielded.
    """
    for message, fd in drain(peer):
        if fd is not None:
            os.close(fd)
        yield message


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    for extra in fds[1:]:
        os.close(extra)
    return fds[0] if fds else None
