"""Ids that never repeat: a durable ledger epoch, and blocks of numbers reserved on disk before they are used.

After a power loss counting goes on at the reserved limit: the numbers in between are skipped, never used twice.
"""

import contextlib
import os
import secrets
import threading
from pathlib import Path

from appliance.errors import TallyError

BLOCK = 10_000


def ledger_epoch(state_dir: Path) -> str:
    """Read the ledger's epoch, 16 hexadecimal digits; the first caller on a new machine makes it.

    Raises:
        TallyError: The state directory can't be written, or the file holds something else.
    """
    path = state_dir / "ledger_epoch"
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        _write_durably(temporary, secrets.token_hex(8), final=temporary)
        with contextlib.suppress(FileExistsError):  # another process was first: its epoch counts
            os.link(temporary, path)
        temporary.unlink()
        _sync_directory(state_dir)
    epoch = path.read_text().strip()
    if len(epoch) != 16 or not epoch.isalnum():
        raise TallyError(f"{path}: expected 16 hexadecimal digits, got {epoch[:40]!r}; move the file away")
    return epoch


class IdBlock:
    """Numbers from 1 upwards, reserved durably in blocks; one writer per name.

    `reserve_ahead` keeps half a block in hand from a thread of its own, so that a slow disk is not met on the way
    of a frame; `ensure` waits for the disk only where that thread could not keep up.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        self._path = state_dir / f"reserved.{name}"
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = self._path.read_text() if self._path.exists() else "0"
        except OSError as error:
            raise TallyError(f"{self._path}: can't be read: {error.strerror}; check the state directory") from error
        if not text.strip().isdigit():
            raise TallyError(f"{self._path}: expected a number, got {text[:40]!r}; restore it, or move the file away")
        self.limit = int(text)
        """First number that is not reserved. At start: where a process without other knowledge begins."""

    @property
    def fresh_start(self) -> int:
        """First number to use when nothing is known about the numbers used since the last reservation."""
        return max(self.limit, 1)

    def ensure(self, number: int) -> None:
        """Make sure a number is reserved before it is used.

        Raises:
            TallyError: The disk refused.
        """
        if number < self.limit:
            return
        with self._lock:
            while number >= self.limit:
                self._reserve(max(self.limit, number - number % BLOCK) + BLOCK)

    def reserve_ahead(self, number: int) -> None:
        """Start reserving the next block in the background when less than half a block is left after `number`."""
        if number < self.limit - BLOCK // 2 or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(
            target=self.ensure, args=(number + BLOCK // 2,), name="reserve-ids", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Wait for a reservation in progress."""
        if self._thread is not None:
            self._thread.join()

    def _reserve(self, limit: int) -> None:
        _write_durably(self._path.with_name(self._path.name + ".new"), str(limit), final=self._path)
        self.limit = limit


def _write_durably(temporary: Path, text: str, *, final: Path) -> None:
    try:
        temporary.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        _sync_directory(final.parent)
    except OSError as error:
        raise TallyError(f"{final}: can't be written: {error.strerror}; check space and rights") from error


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
