"""SQLite files of the journal: made whole or not at all, opened only when they are ours, errors said in one line."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from appliance.errors import DiskFull, JournalError

SCHEMA_VERSION = 1
CATALOG_ID = 0x41504C43
"""application_id of the catalog: "APLC" in the file's header, also for file(1)."""
PARTITION_ID = 0x41504C50
"""application_id of a partition: "APLP"."""
COMPANIONS = ("-wal", "-shm")
"""What SQLite keeps beside a file in WAL mode."""
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_PAGE_BYTES = 8192
"""Three records of the usual 2.5 KB fit; of 4096 bytes a third would stay empty (tried: 4.3 against 3.2 KB a row)."""
_BUSY_MS = 5000
_NEW = ".new"


def way_out(directory: Path) -> str:
    """Say what helps when a journal can't be repaired."""
    return f"restore it from a backup, or stop the appliance and move {directory} away: a new epoch begins then"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say of a file into JournalError and DiskFull."""
    try:
        yield
    except (apsw.FullError, OSError, apsw.Error) as error:
        if isinstance(error, JournalError):
            raise
        if _means_full(error):
            raise DiskFull(f"{path}: no space left on its disk; free some, retention does what it may") from error
        if isinstance(error, apsw.NotADBError | apsw.CorruptError):
            raise JournalError(f"{path}: damaged or not a journal file ({error}); {way_out(path.parent)}") from error
        raise JournalError(f"{path}: {error}; check the disk and the rights, then start again") from error


def _means_full(error: Exception) -> bool:
    if isinstance(error, apsw.FullError):
        return True
    if isinstance(error, OSError):
        return error.errno == 28  # ENOSPC
    # The shared-memory index of the WAL is a file as well, and growing it on a full disk has a code of its own.
    return getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def create_database(path: Path, application_id: int, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
    """Make a file in WAL mode and put it in place durably; a crash before that leaves only a `.new` file.

    Raises:
        DiskFull, JournalError: Nothing is in place.
    """
    temporary = path.with_name(path.name + _NEW)
    with storage_errors(path):
        remove_database(temporary)
        try:
            connection = apsw.Connection(str(temporary))
            try:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA application_id = {application_id}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                with connection:
                    for statement, bindings in statements:
                        connection.execute(statement, bindings)
            finally:
                connection.close()
            _sync(temporary)
            temporary.rename(path)
            _sync(path.parent)
        except BaseException:
            remove_database(temporary)
            raise


def open_database(path: Path, application_id: int, *, is_writer: bool, is_sealed: bool = False) -> apsw.Connection:
    """Open an existing file; a WAL left by a killed writer is taken up.

    Args:
        is_sealed: Nobody will write to it any more. Unless a WAL is left, it is read without locks and without the
            `-shm` file that even readers of a WAL need: a full disk has no room for one.
    Raises:
        JournalError: Missing, foreign, truncated, garbage, or from newer software.
    """
    flags = apsw.SQLITE_OPEN_READWRITE if is_writer else apsw.SQLITE_OPEN_READONLY
    is_immutable = is_sealed and not path.with_name(path.name + "-wal").exists()
    name = f"{path.absolute().as_uri()}?immutable=1" if is_immutable else str(path)
    with storage_errors(path):
        connection = apsw.Connection(name, flags=flags | apsw.SQLITE_OPEN_URI)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            found_id = int(connection.pragma("application_id"))
            version = int(connection.pragma("user_version"))
            _check_identity(path, application_id, found_id, version)
            if is_writer:
                connection.pragma("synchronous", "FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def check_header(path: Path, application_id: int) -> None:
    """Check a file at rest by its first bytes and its length: cheap enough for every partition at every start.

    Never for a file that this process has open: closing any descriptor drops all its POSIX locks, SQLite's too.

    Raises:
        JournalError: As `open_database`.
    """
    with storage_errors(path):
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        size = path.stat().st_size
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise JournalError(f"{path}: damaged or not a journal file; {way_out(path.parent)}")
    (pages,), (version,), (found_id,) = (struct.unpack_from(">I", header, offset) for offset in (28, 60, 68))
    _check_identity(path, application_id, found_id, version)
    page_bytes = struct.unpack_from(">H", header, 16)[0] or 65_536
    has_wal = path.with_name(path.name + "-wal").exists()
    if size < pages * page_bytes and not has_wal:
        raise JournalError(
            f"{path}: truncated: {pages * page_bytes} bytes expected, {size} found; {way_out(path.parent)}"
        )


def _check_identity(path: Path, application_id: int, found_id: int, version: int) -> None:
    if found_id != application_id:
        raise JournalError(
            f"{path}: not a file of this journal: application_id {application_id:#x} expected, {found_id:#x} found;"
            f" {way_out(path.parent)}"
        )
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path}: written by newer software: version {version}, this software knows {SCHEMA_VERSION};"
            f" update it, or stop the appliance and move {path.parent} away: a new epoch begins then"
        )


def remove_database(path: Path) -> None:
    """Unlink a file and its companions, the file first: a reader that comes late finds nothing to open."""
    for name in (path.name, *(path.name + companion for companion in COMPANIONS)):
        path.with_name(name).unlink(missing_ok=True)


def sweep_unfinished(directory: Path) -> None:
    """Remove what a crash left: files never put in place, companions of removed files."""
    for path in directory.iterdir():
        base, _, companion = path.name.rpartition("-")
        is_orphan = f"-{companion}" in COMPANIONS and base.endswith(".db") and not path.with_name(base).exists()
        if is_orphan or f"{_NEW}" in path.suffixes or path.name.endswith(tuple(_NEW + each for each in COMPANIONS)):
            path.unlink()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
