"""A tally file: one header page, then a window of 64-byte records with one writer and any number of readers.

Byte map, little endian:

        0    64  header: magic, version, kind, capacity, boot id, ledger epoch, first id, crc32
     1024   560  checkpoint (decided files only): crc32, settled id, totals; see `decided`
     4096    64  record of every id with id % capacity == 0
     4160    64  record of every id with id % capacity == 1
      ...

Every record begins with the crc32 of its other 60 bytes and has its id at offset 8. A record is one aligned pwrite
within a page, so kill -9 never tears it; a reader that meets a write in progress sees a wrong CRC and looks again.
Space is reserved when the file is made (posix_fallocate), so a full tmpfs is an error at start, not a lost record.
"""

import fcntl
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from appliance.clock import boot_id
from appliance.errors import TallyError

RECORD_BYTES = 64
CAPACITY = 32_768
"""Records in the window: 5 minutes of a silent publisher at 100 triggers a second, 2 MB a file."""
CHECKPOINT_OFFSET = 1024
_HEADER_PAGE_BYTES = 4096
_MAGIC = b"APLTALLY"
_VERSION = 1
_HEADER = struct.Struct("<8sHHI16s16sQ")
_CRC = struct.Struct("<I")
_READ_ATTEMPTS = 3


@dataclass(frozen=True)
class TallyHeader:
    """Whose ids a file holds. `first_id` is the first one that can ever stand in it."""

    kind: int
    boot: bytes
    epoch: str
    first_id: int
    capacity: int = CAPACITY

    def pack(self) -> bytes:
        """Encode with a CRC."""
        body = _HEADER.pack(
            _MAGIC, _VERSION, self.kind, self.capacity, self.boot, self.epoch.encode().ljust(16, b"\0"), self.first_id
        )
        return body + _CRC.pack(zlib.crc32(body))

    @classmethod
    def unpack(cls, page: bytes, path: Path) -> Self:
        """Decode; `path` is for the message of the TallyError when the page is foreign."""
        size = _HEADER.size
        if len(page) < size + 4 or page[:8] != _MAGIC or _CRC.unpack_from(page, size)[0] != zlib.crc32(page[:size]):
            raise TallyError(f"{path}: not a tally file; stop the appliance and move the file away")
        _, version, kind, capacity, boot, epoch, first_id = _HEADER.unpack_from(page)
        if version != _VERSION:
            raise TallyError(
                f"{path}: layout version {version}, expected {_VERSION}; stop the appliance, move the file away"
            )
        return cls(kind, boot, epoch.rstrip(b"\0").decode(), first_id, capacity)


class TallyFile:
    """An open tally file. Create with `create`, `resume` or `open_existing`; close with `close`."""

    def __init__(self, path: Path, fd: int, header: TallyHeader) -> None:
        self.path = path
        self.header = header
        self._fd = fd

    @classmethod
    def create(cls, path: Path, header: TallyHeader) -> Self:
        """Make an empty file and put it in place atomically.

        Raises:
            TallyError: No space, or the directory can't be written.
        """
        temporary = path.with_name(path.name + ".new")
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(fd, 0, _HEADER_PAGE_BYTES + RECORD_BYTES * header.capacity)
            os.pwrite(fd, header.pack(), 0)
            temporary.rename(path)
        except OSError as error:
            raise TallyError(f"{path}: can't be created: {error.strerror}; free space in {path.parent}") from error
        return cls(path, fd, header)

    @classmethod
    def open_existing(cls, path: Path, *, writable: bool = False) -> Self | None:
        """Open a file; None when there is none.

        Raises:
            TallyError: Foreign, of another layout version, or unreadable.
        """
        try:
            fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TallyError(f"{path}: can't be opened: {error.strerror}") from error
        try:
            return cls(path, fd, TallyHeader.unpack(os.pread(fd, _HEADER.size + 4, 0), path))
        except TallyError:
            os.close(fd)
            raise

    @classmethod
    def resume(cls, path: Path, kind: int, epoch: str) -> Self | None:
        """Open for writing what a predecessor of this boot and ledger epoch left; None when there is nothing such.

        Raises:
            TallyError: The predecessor is still alive: a file has one writer, and holds a lock as long as it lives.
        """
        file = cls.open_existing(path, writable=True)
        if file is None:
            return None
        try:
            fcntl.flock(file._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise TallyError(f"{path}: another process writes here; stop it, or use another runtime_dir") from None
        if (file.header.kind, file.header.boot, file.header.epoch) != (kind, boot_id(), epoch):
            file.close()
            return None
        return file

    def read(self, record_id: int) -> bytes | None:
        """Read one record; None when it was not written yet, or its place holds a later one."""
        offset = self._offset(record_id)
        for _ in range(_READ_ATTEMPTS):
            record = os.pread(self._fd, RECORD_BYTES, offset)
            if int.from_bytes(record[8:16], "little") != record_id:
                return None
            if is_intact(record):
                return record
        return None

    def write(self, record_id: int, record: bytes) -> None:
        """Write one record of 64 bytes, in one system call."""
        os.pwrite(self._fd, record, self._offset(record_id))

    def last_id(self) -> int | None:
        """Find the highest id in the file; None when it is empty."""
        for record_id in np.unique(self._column(8))[::-1]:
            if record_id and self.read(int(record_id)) is not None:
                return int(record_id)
        return None

    def highest(self, offset: int) -> int:
        """Find the highest u64 that stands at an offset (a multiple of 8) of any record."""
        return int(self._column(offset).max())

    def _column(self, offset: int) -> NDArray[np.uint64]:
        content = os.pread(self._fd, RECORD_BYTES * self.header.capacity, _HEADER_PAGE_BYTES)
        return np.frombuffer(content, dtype="<u8")[offset // 8 :: RECORD_BYTES // 8]

    def read_page(self, offset: int, length: int) -> bytes:
        """Read bytes of the header page."""
        return os.pread(self._fd, length, offset)

    def write_page(self, offset: int, content: bytes) -> None:
        """Write bytes of the header page, in one system call."""
        os.pwrite(self._fd, content, offset)

    def is_current(self) -> bool:
        """Whether the path still names this very file: a writer that starts anew puts another one in its place."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _offset(self, record_id: int) -> int:
        return _HEADER_PAGE_BYTES + RECORD_BYTES * (record_id % self.header.capacity)


def is_intact(record: bytes) -> bool:
    """Check a record's CRC."""
    return len(record) == RECORD_BYTES and bool(_CRC.unpack_from(record)[0] == zlib.crc32(record[4:]))
