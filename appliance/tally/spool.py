"""The spool: full records on their way from the publisher to the recorder, in segments in the runtime directory.

The publisher appends and never waits; the recorder tails, and deletes a segment once all of it is journalled. A dead
recorder costs no record until the spool is full, a killed publisher at most the entry it was writing: that inspection
is found in the tally files instead.

    spool/00000000000000000007      entries one after another: length u32, crc32 u32 of the body, body
    spool/00000000000000000008      the writer is here; every writer begins a segment of its own

A shadow model and the drift watcher have spools of their own beside it, `spool.shadow` and `spool.drift`: nothing of
what they say passes through the publisher.
"""

import fcntl
import os
import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import TallyError

SEGMENT_BYTES = 1 << 20
"""A segment that has grown so far is closed, so that the recorder can delete it."""
_HEAD = struct.Struct("<II")
_MAX_ENTRY_BYTES = 1 << 24


MAIN, SHADOW, DRIFT = "spool", "spool.shadow", "spool.drift"
BESIDE = (SHADOW, DRIFT)
"""Spools of processes that no verdict depends on; read when the publisher's is at its end."""
SPOOLS = (MAIN, *BESIDE)


def spool_dir(runtime_dir: Path, name: str = MAIN) -> Path:
    """Where the segments are."""
    return runtime_dir / name


class SpoolWriter:
    """A pen. One writer at a time: of the publisher's spool, whoever holds the tally files' locks.

    Args:
        max_bytes: All segments together; beyond it entries are refused.
    Attributes:
        refused: Entries that found no room since the start.
    Raises:
        TallyError: The directory can't be made or written.
    """

    def __init__(self, runtime_dir: Path, max_bytes: int, name: str = MAIN) -> None:
        self._directory = spool_dir(runtime_dir, name)
        self._max_bytes = max_bytes
        self.refused = 0
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._number = max(_segments(self._directory), default=0)
            self._fd, self._size, self._closed_bytes = -1, 0, 0
            self._roll()
        except OSError as error:
            raise TallyError(f"{self._directory}: can't be written: {error.strerror}; free space there") from error

    def append(self, body: bytes) -> bool:
        """Write one entry; tells whether there was room for it."""
        entry = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            if self._size >= SEGMENT_BYTES:
                self._roll()
            if self._closed_bytes + self._size + len(entry) > self._max_bytes:
                self._closed_bytes = self._count_closed()  # the recorder may have deleted some
            if self._closed_bytes + self._size + len(entry) > self._max_bytes or not self._write(entry):
                self.refused += 1
                return False
        except OSError:
            self.refused += 1
            return False
        return True

    def close(self) -> None:
        """Close the segment; it stays for the recorder, which may delete it from now on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, entry: bytes) -> bool:
        try:
            written = os.write(self._fd, entry)
        except OSError:
            written = 0
        if written != len(entry):  # the tmpfs is full: leave no half entry for later ones to hide behind
            os.ftruncate(self._fd, self._size)
            return False
        self._size += written
        return True

    def _roll(self) -> None:
        number, fd = self._number, None
        while fd is None:
            number += 1
            fd = _claim_new(self._directory / f"{number:020d}")
        self.close()
        self._fd, self._size, self._number = fd, 0, number
        self._closed_bytes = self._count_closed()

    def _count_closed(self) -> int:
        return sum(size for number, size in _segments(self._directory).items() if number != self._number)


@dataclass(frozen=True)
class SpoolEntry:
    """An entry as it was appended, the segment it stands in, and the spool."""

    segment: int
    body: bytes
    spool: str = MAIN


class SpoolReader:
    """The recorder's end: reads on where it stands, and deletes segments of which every entry is done.

    Attributes:
        torn: Segments whose end a killed writer left incomplete.
    """

    def __init__(self, runtime_dir: Path, name: str = MAIN) -> None:
        self._name = name
        self._directory = spool_dir(runtime_dir, name)
        self._number = 0
        self._fd = -1
        self._offset = 0
        self._undone: Counter[int] = Counter()
        self.torn = 0

    def read(self, limit: int) -> list[SpoolEntry]:
        """Take the next entries, at most `limit`; an empty list means that the end is reached for now."""
        entries: list[SpoolEntry] = []
        while len(entries) < limit:
            body = self._next_body()
            if body is not None:
                entries.append(SpoolEntry(self._number, body, self._name))
                self._undone[self._number] += 1  # before going on: that deletes a segment of which all is done
            elif not self._go_on():
                break
        return entries

    def done(self, entry: SpoolEntry) -> None:
        """Say that an entry needs to be read never again; the last one of a segment deletes it."""
        self._undone[entry.segment] -= 1
        self._delete_if_done(entry.segment)

    @property
    def backlog_bytes(self) -> int:
        """Bytes in all segments that exist."""
        return sum(_segments(self._directory).values())

    def close(self) -> None:
        """Close; where nobody writes any more, the last segment goes too if all of it is done."""
        if self._fd < 0:
            return
        is_at_end = os.fstat(self._fd).st_size == self._offset
        if is_at_end and self._undone[self._number] == 0 and self._is_abandoned():
            (self._directory / f"{self._number:020d}").unlink(missing_ok=True)
        self._leave_segment()

    def _is_abandoned(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return os.fstat(self._fd).st_size == self._offset  # it may have grown before its writer went

    def _leave_segment(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def _next_body(self) -> bytes | None:
        if self._fd < 0:
            return None
        head = os.pread(self._fd, _HEAD.size, self._offset)
        if len(head) < _HEAD.size:
            return None
        length, crc = _HEAD.unpack(head)
        if length > _MAX_ENTRY_BYTES:
            return None
        body = os.pread(self._fd, length, self._offset + _HEAD.size)
        if len(body) < length or zlib.crc32(body) != crc:  # being written, or torn by a kill
            return None
        self._offset += _HEAD.size + length
        return body

    def _go_on(self) -> bool:
        """Move to the next segment if there is one and this one has ended; tells whether to read on."""
        later = sorted(number for number in _segments(self._directory) if number > self._number)
        if not later:
            return False
        if self._fd >= 0:
            # The next segment was there before we looked, so this one grows no more. It may have grown before that.
            end = os.fstat(self._fd).st_size
            before = self._offset
            if self._next_body() is not None:
                self._offset = before
                return True
            self.torn += end > self._offset
            self._leave_segment()
        left, self._number, self._offset = self._number, later[0], 0
        self._delete_if_done(left)
        self._fd = os.open(self._directory / f"{self._number:020d}", os.O_RDONLY | os.O_CLOEXEC)
        return True

    def _delete_if_done(self, segment: int) -> None:
        if segment and segment != self._number and self._undone[segment] == 0:
            del self._undone[segment]
            (self._directory / f"{segment:020d}").unlink(missing_ok=True)


def _claim_new(path: Path) -> int | None:
    """Make a segment and lock it, so that a recorder that stops sees a writer; None when one got in between."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            return fd
    except BlockingIOError:
        pass
    os.close(fd)
    return None


def _segments(directory: Path) -> dict[int, int]:
    """Give the size of each segment, by number."""
    sizes: dict[int, int] = {}
    try:
        for entry in os.scandir(directory):
            if entry.name.isdigit():
                sizes[int(entry.name)] = entry.stat().st_size
    except FileNotFoundError:
        pass
    return sizes
