"""One camera's frames as a reader gets them, whatever happens to the grabber behind them."""

import logging
import time
from pathlib import Path

from appliance.clock import NS_PER_MS
from appliance.errors import RingError
from appliance.ring.datagrams import ReaderRole
from appliance.ring.reader import FrameLease, RingReader

log = logging.getLogger(__name__)

_FIRST_RETRY_NS = 20 * NS_PER_MS
_LONGEST_RETRY_NS = 50 * NS_PER_MS  # a failed try is one system call; each lost part would cost a reject


class CameraFeed:
    """Connects to a camera's ring, and again after each loss, with a growing pause.

    Each connection has a reader of its own: a lease from before a grabber's restart is given back to the reader it
    came from, never to the new grabber, whose slots have the same numbers.
    """

    def __init__(self, camera: str, socket_path: Path, role: ReaderRole) -> None:
        self.camera = camera
        self._role = role
        self._path = socket_path
        self._reader: RingReader | None = None
        self._retry_ns = 0
        self._pause_ns = _FIRST_RETRY_NS

    @property
    def is_connected(self) -> bool:
        """Whether a grabber is there."""
        return self._reader is not None

    def fileno(self) -> int:
        """Descriptor to poll for reading; -1 when not connected."""
        return self._reader.fileno() if self._reader is not None else -1

    def connect_when_due(self, now_ns: int) -> None:
        """Try to connect, if we are not and the pause is over."""
        if self._reader is not None or now_ns < self._retry_ns:
            return
        reader = RingReader(self._path, self._role)
        if reader.connect():
            log.info("camera %s: connected to its grabber", self.camera)
            self._reader = reader
            self._pause_ns = _FIRST_RETRY_NS
            return
        self._retry_ns = now_ns + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, _LONGEST_RETRY_NS)

    def receive(self) -> list[FrameLease]:
        """Take all frames that wait, oldest first; the caller releases each. Notices a grabber that has gone."""
        if self._reader is None:
            return []
        try:
            leases = self._reader.receive()
        except RingError as error:  # protocol or memory trouble: the reader has hung up, a new start may help
            log.error("camera %s: %s; connecting again", self.camera, error)  # noqa: TRY400 (a message, not a bug)
            self._reader = None
            self._retry_ns = time.monotonic_ns() + _LONGEST_RETRY_NS
            return []
        if not self._reader.is_connected:
            log.info("camera %s: its grabber has gone; connecting again", self.camera)
            self._reader = None
        return leases

    def close(self) -> None:
        """Hang up; the grabber takes back every slot that was not released."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
