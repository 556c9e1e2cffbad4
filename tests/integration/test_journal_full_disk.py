"""A disk of a few megabytes that fills up: nothing half written, nothing lost, and it goes on when there is space."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, CameraConfig, FolderSource, RecorderConfig
from appliance.errors import DiskFull
from appliance.records.disk_space import DiskLevel, make_room_to_start
from appliance.records.journal import Journal
from appliance.records.retention import Retention
from appliance.testing.faults.disks import Filler, SmallTmpfs, mount_obstacle
from appliance.testing.journal_records import LEDGER_EPOCH, inspection

NEEDS_MOUNT = mount_obstacle()
pytestmark = pytest.mark.skipif(NEEDS_MOUNT is not None, reason=str(NEEDS_MOUNT))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with SmallTmpfs(tmp_path / "disk", 6) as disk:
        yield disk.folder


@pytest.fixture
def larger_disk(tmp_path: Path) -> Iterator[Path]:
    with SmallTmpfs(tmp_path / "disk", 24) as disk:
        yield disk.folder


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
    hog = Filler(small_disk)
    hog.fill()
    with pytest.raises(DiskFull):
        journal.seal()
    assert len(journal.partitions()) == 1
    hog.release()
    assert journal.append([inspection(2)]) == [2]
    journal.seal()
    assert journal.append([inspection(3)]) == [3]
    assert sorted(path.name for path in (small_disk / "journal").glob("*.new*")) == []
    assert journal.triggers(LEDGER_EPOCH, "cam0", 1) == {1, 2, 3}
    journal.close()


def test_a_start_on_a_full_disk_says_so_and_works_once_there_is_space(small_disk: Path) -> None:
    hog = Filler(small_disk)
    hog.fill()
    with pytest.raises(DiskFull, match="no space left"):
        Journal.open(small_disk / "journal")
    hog.release()
    journal = Journal.open(small_disk / "journal")
    assert journal.append([inspection(1)]) == [1]
    journal.close()


def configuration(folder: Path) -> ApplianceConfig:
    return ApplianceConfig(
        line="line1",
        station="station1",
        recipe=folder / "recipe.toml",
        models_dir=folder,
        state_dir=folder,
        cameras=(CameraConfig(name="cam0", source=FolderSource(kind="folder", images=folder)),),
        recorder=RecorderConfig(required_consumers=("mes",), warn_free_mb=4, evict_free_mb=3, stop_free_mb=2),
    )


def test_a_disk_that_others_fill_to_the_last_byte_is_got_out_of_by_the_ballast(small_disk: Path) -> None:
    journal = Journal.open(small_disk / "journal")
    retention = Retention(configuration(small_disk), journal)
    retention.step()
    journal.append([inspection(number, pad="x" * 20_000) for number in range(1, 33)])
    journal.seal()
    journal.append([inspection(33)])
    Filler(small_disk).fill()
    with pytest.raises(DiskFull):
        journal.append([inspection(34, pad="x" * 60_000)])
    done = retention.step()
    assert done.level is DiskLevel.STOP
    assert [record["kind"] for record, _ in done.rows] == ["lost_range"]
    assert (journal.oldest_seq, journal.head_seq) == (33, 34)
    assert journal.append([inspection(34)]) == [35]
    journal.close()


def test_a_start_on_a_disk_that_others_filled_is_made_possible_by_the_ballast(small_disk: Path) -> None:
    settings = configuration(small_disk)
    journal = Journal.open(small_disk / "journal")
    Retention(settings, journal).step()
    journal.append([inspection(1)])
    journal.close()
    Filler(small_disk).fill()
    with pytest.raises(DiskFull):
        Journal.open(small_disk / "journal")
    make_room_to_start(settings.state_dir, settings.recorder)
    journal = Journal.open(small_disk / "journal")
    assert journal.head_seq == 1
    journal.close()


def test_a_full_disk_can_still_be_read_so_that_consumers_catch_up(small_disk: Path) -> None:
    journal = Journal.open(small_disk / "journal")
    journal.append([inspection(number) for number in range(1, 11)])
    journal.seal()
    journal.append([inspection(11)])
    Filler(small_disk).fill()
    reader = journal.reader()
    assert [seq for seq, _ in reader.read(1, 11)] == list(range(1, 12))
    reader.close()
    journal.close()


def test_hours_on_a_small_disk_lose_rows_only_with_a_record_of_them(larger_disk: Path) -> None:
    journal = Journal.open(larger_disk / "journal", partition_max_mb=2)
    retention = Retention(configuration(larger_disk), journal)
    told: set[int] = set()
    while journal.oldest_seq < 3000:
        assert retention.may_write
        first = journal.head_seq + 1
        journal.append([inspection(number, pad="x" * 8000) for number in range(first, first + 50)])
        while (done := retention.step()).is_busy:
            for record, _ in done.rows:
                told.update(range(record["first_trigger_id"], record["last_trigger_id"] + 1))
    kept = [json.loads(body) for _, body in journal.read(1, journal.head_seq, limit=10**6)]
    closed = {record["inspection_id"] for record in kept if record["kind"] == "inspection"}
    known = journal.triggers(LEDGER_EPOCH, "cam0", 1)
    assert closed | told == known
    assert not closed & told
    journal.close()
