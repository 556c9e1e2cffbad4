"""How much room the state directory has left, as levels with hysteresis, and a ballast for when there is none."""

import logging
import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from appliance.config import RecorderConfig

log = logging.getLogger(__name__)

BYTES_PER_MB = 1_000_000
_LEAVE_FACTOR = 1.1
"""A level is left when this much more than its limit is free: else every file made and removed would switch it."""
_BALLAST_MOST_BYTES = 64 * BYTES_PER_MB


class DiskLevel(IntEnum):
    """What the free space allows; each level includes the ones before it."""

    FINE = 0
    WARN = 1  # people are told
    EVICT = 2  # old data goes, in the order that retention describes
    STOP = 3  # nothing new is written while nothing more can go


def unused_bytes(directory: Path) -> int:
    """Ask how much of a directory's disk processes without privileges may still use."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def make_room_to_start(directory: Path, limits: RecorderConfig) -> None:
    """Remove the ballast of a full disk: opening a journal needs a little room, and retention an open journal."""
    if directory.is_dir():
        DiskSpace(directory, limits).look()


class DiskSpace:
    """Watches the disk of one directory. Single-threaded.

    The ballast is a file that only takes up space. At STOP it is removed: what is left then is enough to strike
    partitions off and to journal what was lost, even on a disk that somebody else has filled to the last byte.

    Attributes:
        level: As of the last `look`.
        free_bytes: Room for the appliance's data as of the last `look`: without what the ballast will take again.
    """

    def __init__(
        self, directory: Path, limits: RecorderConfig, *, free_of: Callable[[Path], int] = unused_bytes
    ) -> None:
        self._directory = directory
        self._free_of = free_of
        self._limits = {
            DiskLevel.WARN: limits.warn_free_mb * BYTES_PER_MB,
            DiskLevel.EVICT: limits.evict_free_mb * BYTES_PER_MB,
            DiskLevel.STOP: limits.stop_free_mb * BYTES_PER_MB,
        }
        self._ballast = directory / "ballast"
        self._ballast_bytes = min(_BALLAST_MOST_BYTES, self._limits[DiskLevel.STOP] // 2)
        self.level = DiskLevel.FINE
        self.free_bytes = 0

    def look(self) -> DiskLevel:
        """Measure, and set or remove the ballast; a change of level is logged."""
        held = self._held_bytes()
        self.free_bytes = max(0, self._free_of(self._directory) + held - self._ballast_bytes)
        before, self.level = self.level, self._level_of(self.free_bytes)
        if self.level is not before:
            self._tell(before)
        if self.level is DiskLevel.STOP and held:
            self._ballast.unlink(missing_ok=True)
        elif self.level is not DiskLevel.STOP and held < self._ballast_bytes:
            self._take_ballast()
        return self.level

    def _level_of(self, free: int) -> DiskLevel:
        reached = max((level for level, limit in self._limits.items() if free < limit), default=DiskLevel.FINE)
        held = max(
            (level for level, limit in self._limits.items() if level <= self.level and free < limit * _LEAVE_FACTOR),
            default=DiskLevel.FINE,
        )
        return max(reached, held)

    def _held_bytes(self) -> int:
        try:
            return self._ballast.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def _take_ballast(self) -> None:
        fd = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._ballast_bytes)
        except OSError as error:
            log.warning("%s: no ballast: %s", self._ballast, error.strerror)
        finally:
            os.close(fd)

    def _tell(self, before: DiskLevel) -> None:
        weight = {DiskLevel.FINE: logging.INFO, DiskLevel.STOP: logging.ERROR}.get(self.level, logging.WARNING)
        free_mb = self.free_bytes // BYTES_PER_MB
        log.log(weight, "disk of %s: %s, was %s; %d MB free", self._directory, self.level.name, before.name, free_mb)
