"""A disk of a few megabytes that fills up: nothing half written, nothing lost, and it goes on when there is space."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import DiskFull
from appliance.records.journal import Journal
from appliance.testing.journal_records import LEDGER_EPOCH, inspection

SMALL_DISK_MB = 6


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={SMALL_DISK_MB}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small tmpfs can't be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(journal: Journal) -> None:
    """Append until the disk refuses."""
    while True:
        first = journal.head_seq + 1
        try:
            journal.append([inspection(number, pad="x" * 2000) for number in range(first, first + 16)])
        except DiskFull:
            return


def test_a_full_disk_refuses_whole_groups_and_takes_them_once_there_is_space(small_disk: Path) -> None:
    in_the_way = small_disk / "somebody else's"
    in_the_way.write_bytes(bytes(1_000_000))
    journal = Journal.open(small_disk / "journal")
    fill(journal)
    head = journal.head_seq
    for _ in range(3):
        with pytest.raises(DiskFull):
            journal.append([inspection(number, pad="x" * 60_000) for number in range(head + 1, head + 17)])
    assert journal.head_seq == head
    in_the_way.unlink()
    assert journal.append([inspection(head + 1)]) == [head + 1]
    rows = journal.read(1, head + 1, limit=10**6)
    assert [seq for seq, _ in rows] == list(range(1, head + 2))
    journal.close()


def test_what_was_refused_is_not_there_after_a_new_start(small_disk: Path) -> None:
    journal = Journal.open(small_disk / "journal")
    fill(journal)
    head = journal.head_seq
    journal.close()
    for companion in small_disk.rglob("*-shm"):
        companion.unlink()
    again = Journal.open(small_disk / "journal")
    assert again.head_seq == head
    assert all(json.loads(body)["inspection_id"] == seq for seq, body in again.read(1, head, limit=10**6))
    again.close()


def test_a_partition_that_finds_no_space_leaves_the_old_one_growing(small_disk: Path) -> None:
    journal = Journal.open(small_disk / "journal")
    journal.append([inspection(1)])
    hog = small_disk / "hog"
    take_all_space(hog)
    with pytest.raises(DiskFull):
        journal.seal()
    assert len(journal.partitions()) == 1
    hog.unlink()
    assert journal.append([inspection(2)]) == [2]
    journal.seal()
    assert journal.append([inspection(3)]) == [3]
    assert sorted(path.name for path in (small_disk / "journal").glob("*.new*")) == []
    assert journal.triggers(LEDGER_EPOCH, "cam0", 1) == {1, 2, 3}
    journal.close()


def test_a_start_on_a_full_disk_says_so_and_works_once_there_is_space(small_disk: Path) -> None:
    hog = small_disk / "hog"
    take_all_space(hog)
    with pytest.raises(DiskFull, match="no space left"):
        Journal.open(small_disk / "journal")
    hog.unlink()
    journal = Journal.open(small_disk / "journal")
    assert journal.append([inspection(1)]) == [1]
    journal.close()


def take_all_space(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with contextlib.suppress(OSError):
        while True:
            os.write(fd, bytes(4096))
    os.close(fd)
