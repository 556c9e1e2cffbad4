"""The listening end of systemd's notify protocol: who said READY=1, WATCHDOG=1, STATUS=… or STOPPING=1."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_UCRED = struct.Struct("iII")  # pid, uid, gid: unix(7)
_MOST_AT_ONCE = 1000
"""A flood doesn't keep the supervisor from its work."""


class NotifySocket:
    """Receives notifications; the kernel vouches for the sender's pid (SCM_CREDENTIALS).

    Raises:
        OSError: The directory isn't writable, or the path exceeds a socket address's 107 bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            path.unlink(missing_ok=True)
            self._socket.bind(str(path))
            path.chmod(0o600)
        except OSError:
            self._socket.close()
            raise

    def receive(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield waiting notifications as (pid of the sender, assignments), so many at most; never blocks."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST_AT_ONCE):
                message, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_UCRED.size))
                for level, kind, data in ancillary:
                    if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                        yield _UCRED.unpack(data[: _UCRED.size])[0], _assignments(message)

    def close(self) -> None:
        """Close and remove the socket file."""
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _assignments(message: bytes) -> dict[str, str]:
    lines = message.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
