"""What the publisher was told and must still know after kill -9: one line a note, in the runtime directory.

    3f0a91c2 {"note": "part", "bind": …}        crc32 of the JSON, the JSON

A note is written before its request is answered. A line that a kill tore has no valid CRC and was never answered for.
The file starts with the boot and the ledger epoch it belongs to: notes of another life of the machine mean nothing,
because nothing was counted meanwhile.
"""

import json
import logging
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from appliance.clock import boot_id
from appliance.errors import TallyError

log = logging.getLogger(__name__)

Note = dict[str, Any]
_MAX_LINES = 8192
"""Beyond it the owner is asked to write down what still matters, and only that."""


class NoteFile:
    """Append-only, one writer: whoever holds the tally files' locks.

    Raises:
        TallyError: The runtime directory can't be written.
    """

    def __init__(self, runtime_dir: Path, ledger_epoch: str) -> None:
        self._path = runtime_dir / "notes"
        self._life = {"note": "life", "boot": boot_id().hex(), "ledger_epoch": ledger_epoch}
        self._lines = 0
        self._is_torn = False
        self._fd = -1

    def load(self) -> list[Note]:
        """Read what a predecessor of this boot and ledger epoch wrote, oldest first."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TallyError(f"{self._path}: can't be read: {error.strerror}; move it away") from error
        notes = [note for note in map(_decode, filter(None, lines)) if note is not None]
        if len(notes) < len(lines):
            log.warning("%s: %d torn lines left out", self._path, len(lines) - len(notes))
        return notes[1:] if notes[:1] == [self._life] else []

    def rewrite(self, notes: Iterable[Note]) -> None:
        """Put a file with these notes alone in place of the old one, atomically.

        Raises:
            TallyError: No space, or the directory can't be written.
        """
        temporary = self._path.with_name("notes.new")
        lines = [_encode(note) for note in (self._life, *notes)]
        try:
            temporary.write_bytes(b"".join(lines))
            temporary.chmod(0o600)
            fd = os.open(temporary, os.O_WRONLY | os.O_CLOEXEC | os.O_APPEND)
            temporary.rename(self._path)
        except OSError as error:
            raise TallyError(f"{self._path}: can't be written: {error.strerror}; free space there") from error
        self.close()
        self._fd, self._lines, self._is_torn = fd, len(lines), False

    @property
    def is_long(self) -> bool:
        """Whether it is time for `rewrite`."""
        return self._lines > _MAX_LINES

    def append(self, note: Note) -> bool:
        """Write one note; tells whether there was room for it."""
        line = b"\n" * self._is_torn + _encode(note)
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            log.error("%s: %s", self._path, error.strerror)  # noqa: TRY400 (a full tmpfs, not a bug)
            return False
        self._lines += 1
        self._is_torn = written < len(line)
        return not self._is_torn

    def close(self) -> None:
        """Close; the file stays for a successor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _encode(note: Note) -> bytes:
    body = json.dumps(note, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _decode(line: bytes) -> Note | None:
    crc, _, body = line.partition(b" ")
    if crc != b"%08x" % zlib.crc32(body):
        return None
    note: Note = json.loads(body)
    return note
