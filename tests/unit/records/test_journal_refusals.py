"""Whatever is not understood is refused in one line that tells the way out, and nothing is touched."""

import hashlib
import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import ExitCode, JournalError
from appliance.records.journal import Journal
from appliance.records.reader import JournalReader
from appliance.testing.journal_records import inspection


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.db") if path.name != "catalog.db")


def patched(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def copied(path: Path, name: str) -> None:
    path.with_name(name).write_bytes(path.read_bytes())


def foreign(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE shopping(item)")
    other.commit()
    other.close()


def of_another_epoch(folder: Path) -> None:
    other = Journal.open(folder / "other")
    other.append([inspection(1)])
    other.close()
    files(folder / "other")[0].rename(files(folder)[-1])


@dataclass(frozen=True)
class Damage:
    name: str
    do: Callable[[Path], object]
    says: str


NEWER = struct.pack(">I", 99)
DAMAGES = (
    Damage("newer catalog", lambda f: patched(f / "catalog.db", 60, NEWER), "newer software: version 99"),
    Damage("newer sealed partition", lambda f: patched(files(f)[0], 60, NEWER), "newer software: version 99"),
    Damage("newer last partition", lambda f: patched(files(f)[-1], 60, NEWER), "newer software: version 99"),
    Damage("foreign catalog", lambda f: foreign(f / "catalog.db"), "not a file of this journal"),
    Damage("foreign sealed partition", lambda f: foreign(files(f)[1]), "not a file of this journal"),
    Damage("foreign last partition", lambda f: foreign(files(f)[-1]), "not a file of this journal"),
    Damage("empty catalog", lambda f: os.truncate(f / "catalog.db", 0), "not a file of this journal"),
    Damage("empty last partition", lambda f: os.truncate(files(f)[-1], 0), "not a file of this journal"),
    Damage("empty sealed partition", lambda f: os.truncate(files(f)[0], 0), "damaged or not a journal file"),
    Damage("truncated catalog", lambda f: os.truncate(f / "catalog.db", 4096), "damaged or not a journal file"),
    Damage("truncated sealed partition", lambda f: os.truncate(files(f)[0], 8192), "truncated"),
    Damage("truncated last partition", lambda f: os.truncate(files(f)[-1], 8192), "damaged or not a journal file"),
    Damage("a few bytes", lambda f: os.truncate(files(f)[-1], 50), "not a file of this journal"),
    Damage("garbage", lambda f: files(f)[-1].write_bytes(os.urandom(20_000)), "damaged or not a journal file"),
    Damage("garbage sealed", lambda f: files(f)[0].write_bytes(os.urandom(20_000)), "damaged or not a journal file"),
    Damage("missing catalog", lambda f: (f / "catalog.db").unlink(), "catalog.db is missing beside 3 partitions"),
    Damage("missing oldest", lambda f: files(f)[0].unlink(), "rows 1 to 2"),
    Damage("missing in the middle", lambda f: files(f)[1].unlink(), "rows 3 to 4"),
    Damage("missing newest", lambda f: files(f)[-1].unlink(), "rows 5 to the newest"),
    Damage("of another epoch", of_another_epoch, "of epoch"),
    Damage("unknown rows", lambda f: copied(files(f)[-1], "20300101T000000-000000000009.db"), "doesn't know"),
)
"""What can have happened to a journal of three partitions with two rows each."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    journal = Journal.open(folder)
    for number in (1, 3, 5):
        journal.append([inspection(number), inspection(number + 1)])
        if number < 5:
            journal.seal()
    journal.close()
    return folder


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_journal_is_refused_and_left_as_it_is(folder: Path, damage: Damage) -> None:
    damage.do(folder)
    before = content(folder)
    with pytest.raises(JournalError, match=damage.says) as refusal:
        Journal.open(folder)
    message = str(refusal.value)
    assert "\n" not in message
    assert str(folder) in message
    assert "move" in message
    assert refusal.value.exit_code == ExitCode.JOURNAL
    assert content(folder) == before


def test_moving_a_damaged_journal_away_begins_a_new_epoch(folder: Path) -> None:
    journal = Journal.open(folder)
    epoch = journal.epoch
    journal.close()
    (folder / "catalog.db").write_bytes(b"garbage")
    folder.rename(folder.with_name("journal.broken"))
    journal = Journal.open(folder)
    assert journal.epoch != epoch
    assert journal.append([inspection(1)]) == [1]
    journal.close()


def test_two_writers_at_once_are_refused(folder: Path) -> None:
    journal = Journal.open(folder)
    with pytest.raises(JournalError, match="another recorder writes here"):
        Journal.open(folder)
    journal.close()


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="check the state directory and its rights"):
        Journal.open(tmp_path / "file" / "journal")


@contextmanager
def nobody() -> Iterator[None]:
    """Root may read and write everything: be somebody else for a moment."""
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


def test_missing_rights_are_refused(folder: Path) -> None:
    folder.chmod(0)
    with nobody():
        with pytest.raises(JournalError, match="rights"):
            Journal.open(folder)
        with pytest.raises(JournalError, match="rights"):
            JournalReader(folder)
    folder.chmod(0o700)


def test_a_reader_says_when_there_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal here"):
        JournalReader(tmp_path / "nowhere")


def test_a_page_that_went_bad_is_named_when_it_is_read(folder: Path) -> None:
    path = files(folder)[0]
    patched(path, 4096, os.urandom(path.stat().st_size - 4096))
    journal = Journal.open(folder)
    with pytest.raises(JournalError, match=path.name):
        journal.read(1, 6)
    assert len(journal.read(3, 6)) == 4
    journal.close()


def content(folder: Path) -> dict[str, str]:
    """Hashes of all that is there, but for the lock and what SQLite keeps beside a file that is open."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.db")
        if path.is_file()
    }
