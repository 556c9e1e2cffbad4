"""The ledger of judgements, `state_dir/reviews.jsonl`: one line each, appended and synchronised, never changed.

It belongs to no process: whoever appends holds a lock on the file for so long, whether the appliance runs or not. A
line counts when its newline is on the disk; what a killed writer left behind the last newline was never acknowledged,
and the next writer cuts it off. Of several judgements of a part the last line counts; the others are its history.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from appliance.errors import DiskFull, ReviewError
from appliance.learning.review.judgement import Judgement
from appliance.rollout.files import adopt, sync_directory

FILE = "reviews.jsonl"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class History:
    """All that was ever said, in order.

    Attributes:
        damaged_lines: Numbers of the lines that can't be read any more.
    """

    judgements: tuple[Judgement, ...]
    damaged_lines: tuple[int, ...] = ()

    def latest(self) -> dict[tuple[str, int], Judgement]:
        """What counts, by the part's key."""
        return {judgement.part.key: judgement for judgement in self.judgements}

    def drawn(self) -> set[tuple[str, int]]:
        """Keys of the parts that were judged because the draw showed them."""
        return {judgement.part.key for judgement in self.judgements if judgement.drawn}

    def corrections(self) -> int:
        """Count the lines that say something else of a part than the line before."""
        said: dict[tuple[str, int], tuple[str, str | None]] = {}
        changes = 0
        for judgement in self.judgements:
            word = judgement.answer, judgement.class_name
            changes += said.setdefault(judgement.part.key, word) != word
            said[judgement.part.key] = word
        return changes


class ReviewLedger:
    """The ledger of one appliance; any number of processes may append at once."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE

    def read(self) -> History:
        """Read everything; what is being appended just now may be missing.

        Raises:
            ReviewError: The file can't be read.
        """
        try:
            return _understood(self.path.read_bytes())
        except FileNotFoundError:
            return History(())
        except OSError as error:
            raise ReviewError(f"{self.path}: can't be read: {error.strerror}; check its rights") from error

    def append(self, judgements: Sequence[Judgement]) -> list[Judgement]:
        """Write judgements; they are on the disk when this returns.

        Returns:
            Those that were new: one whose id stands in the ledger is not written again.
        Raises:
            DiskFull: Nothing was written.
            ReviewError: The disk failed, or rights are missing: say it again, nothing is counted twice.
        """
        return self._append(lambda content: [one for one in judgements if f'"id":"{one.id}"'.encode() not in content])

    def append_after(self, decide: Callable[[History], Sequence[Judgement]]) -> list[Judgement]:
        """Append what `decide` makes of the history, which nobody changes meanwhile; else as `append`."""

        def new(content: bytes) -> list[Judgement]:
            history = _understood(content)
            known = {judgement.id for judgement in history.judgements}
            return [one for one in decide(history) if one.id not in known]

        return self._append(new)

    def _append(self, choose: Callable[[bytes], Sequence[Judgement]]) -> list[Judgement]:
        try:
            with self._locked() as fd:
                content = _read_all(fd)
                whole = content[: content.rfind(b"\n") + 1]
                new = list({one.id: one for one in choose(whole)}.values())
                if new:
                    _write_after(fd, len(whole), "".join(f"{one.model_dump_json()}\n" for one in new).encode())
                return new
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFull(f"{self.path}: no space left, nothing was written; free some, say it again") from error
            raise ReviewError(f"{self.path}: can't be written: {error.strerror}; check disk and rights") from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        directory = self.path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_size == 0:  # new, or its maker was killed before the next line
                adopt(fd, directory)
                sync_directory(directory)
            yield fd
        finally:
            os.close(fd)  # gives the lock back


def _understood(content: bytes) -> History:
    """Read the lines that have their end."""
    judgements, damaged = [], []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            judgements.append(Judgement.model_validate_json(line))
        except ValidationError:
            damaged.append(number)
    return History(tuple(judgements), tuple(damaged))


def _read_all(fd: int) -> bytes:
    content = b""
    while part := os.pread(fd, 1 << 24, len(content)):
        content += part
    return content


def _write_after(fd: int, end: int, lines: bytes) -> None:
    """Write behind the last whole line; all or nothing, as far as the disk lets us."""
    os.ftruncate(fd, end)
    written = 0
    try:
        while written < len(lines):
            written += os.pwrite(fd, lines[written:], end + written)
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, end)
        raise
