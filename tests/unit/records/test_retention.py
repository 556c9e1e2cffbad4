"""What goes when the disk fills up: in the right order, no more than needed, never silently."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, CameraConfig, FolderSource, RecorderConfig
from appliance.records.disk_space import DiskLevel, DiskSpace
from appliance.records.journal import Journal
from appliance.records.reader import JournalReader
from appliance.records.retention import FILES_PER_STEP, Retention
from appliance.testing.journal_records import LEDGER_EPOCH, inspection

MB = 1_000_000
FREE = {DiskLevel.FINE: 100 * MB, DiskLevel.WARN: 30 * MB, DiskLevel.EVICT: 15 * MB, DiskLevel.STOP: 5 * MB}


class HandMadeDisk:
    """Says what a test wants to be free."""

    def __init__(self) -> None:
        self.free = FREE[DiskLevel.FINE]

    def __call__(self, directory: Path) -> int:
        return self.free


@pytest.fixture
def disk() -> HandMadeDisk:
    return HandMadeDisk()


def configuration(folder: Path, *required: str) -> ApplianceConfig:
    return ApplianceConfig(
        line="line1",
        station="station1",
        recipe=folder / "recipe.toml",
        models_dir=folder,
        state_dir=folder,
        cameras=(CameraConfig(name="cam0", source=FolderSource(kind="folder", images=folder)),),
        recorder=RecorderConfig(required_consumers=required, warn_free_mb=40, evict_free_mb=20, stop_free_mb=10),
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Three sealed partitions of four rows each, and one that grows."""
    journal = Journal.open(tmp_path / "journal")
    for first in (1, 5, 9, 13):
        journal.append([inspection(number) for number in range(first, first + 4)])
        if first < 13:
            journal.seal()
    yield journal
    journal.close()


@pytest.fixture
def put_images(tmp_path: Path) -> Callable[[str, int], None]:
    def put(hour: str, number: int) -> None:
        folder = tmp_path / "images" / hour
        folder.mkdir(parents=True)
        for name in range(number):
            (folder / f"{name:04d}.png").write_bytes(b"picture")

    return put


def images(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder / "images").parent) for path in folder.glob("images/*/*/*/*"))


def run_dry(retention: Retention) -> int:
    """Step until nothing more can go; gives how many steps freed something."""
    steps = 0
    while retention.step().is_busy:
        steps += 1
    return steps


def test_nothing_goes_while_there_is_space(tmp_path: Path, journal: Journal, disk: HandMadeDisk) -> None:
    retention = Retention(configuration(tmp_path), journal, free_of=disk)
    for level in (DiskLevel.FINE, DiskLevel.WARN):
        disk.free = FREE[level]
        done = retention.step()
        assert (done.level, done.is_busy) == (level, False)
    assert journal.oldest_seq == 1
    assert retention.status()["level"] == "warn"


def test_sampled_images_go_before_any_row_and_the_oldest_hour_first(
    tmp_path: Path, journal: Journal, disk: HandMadeDisk, put_images: Callable[[str, int], None]
) -> None:
    put_images("ok/20261122/08", 2)
    put_images("ok/20261121/23", FILES_PER_STEP + 1)
    put_images("reject/20261120/00", 1)
    retention = Retention(configuration(tmp_path), journal, free_of=disk)
    disk.free = FREE[DiskLevel.EVICT]
    retention.step()
    assert len(images(tmp_path)) == 4
    retention.step()
    assert images(tmp_path) == ["ok/20261122/08"] * 2 + ["reject/20261120/00"]
    retention.step()
    assert images(tmp_path) == ["reject/20261120/00"]
    assert journal.oldest_seq == 1
    reader = journal.reader()
    assert reader.evicted_us("ok/20261121/23") is not None
    assert reader.evicted_us("reject/20261120/00") is None
    reader.close()
    disk.free = FREE[DiskLevel.FINE]
    assert not retention.step().is_busy


def test_an_image_that_is_being_written_is_left_alone(tmp_path: Path, journal: Journal, disk: HandMadeDisk) -> None:
    folder = tmp_path / "images/ok/20261122/08"
    folder.mkdir(parents=True)
    (folder / "1.png.tmp").write_bytes(b"half")
    disk.free = FREE[DiskLevel.EVICT]
    run_dry(Retention(configuration(tmp_path), journal, free_of=disk))
    assert (folder / "1.png.tmp").exists()


def test_only_what_every_required_consumer_has_goes_before_the_hard_limit(
    tmp_path: Path, journal: Journal, disk: HandMadeDisk
) -> None:
    retention = Retention(configuration(tmp_path, "mes", "archive"), journal, free_of=disk)
    journal.acknowledge("mes", 12)
    journal.acknowledge("somebody", 16)
    disk.free = FREE[DiskLevel.EVICT]
    assert run_dry(retention) == 0  # the archive has nothing yet
    journal.acknowledge("archive", 7)
    assert run_dry(retention) == 1
    assert journal.oldest_seq == 5
    journal.acknowledge("archive", 12)
    assert run_dry(retention) == 2
    assert (journal.oldest_seq, journal.head_seq) == (13, 16)


def test_without_required_consumers_the_most_advanced_one_counts(
    tmp_path: Path, journal: Journal, disk: HandMadeDisk
) -> None:
    journal.acknowledge("test bench", 1)
    journal.acknowledge("mes", 9)
    disk.free = FREE[DiskLevel.EVICT]
    run_dry(Retention(configuration(tmp_path), journal, free_of=disk))
    assert journal.oldest_seq == 9


def test_rows_that_nobody_ever_asked_for_do_not_stop_the_box(
    tmp_path: Path, journal: Journal, disk: HandMadeDisk
) -> None:
    disk.free = FREE[DiskLevel.EVICT]
    run_dry(Retention(configuration(tmp_path), journal, free_of=disk))
    assert journal.oldest_seq == 13


def test_at_the_hard_limit_rejects_images_then_rows_go_and_what_was_lost_is_on_record_first(
    tmp_path: Path, journal: Journal, disk: HandMadeDisk, put_images: Callable[[str, int], None]
) -> None:
    put_images("reject/20261120/00", 1)
    retention = Retention(configuration(tmp_path, "mes"), journal, free_of=disk)
    journal.acknowledge("mes", 2)
    disk.free = FREE[DiskLevel.STOP]
    assert retention.step().is_busy
    assert images(tmp_path) == []
    assert not retention.may_write
    assert "images of rejected parts" in retention.status()["alarm"]
    done = retention.step()
    assert done.is_busy
    [(record, row)] = done.rows
    assert record["kind"] == "lost_range"
    assert (record["camera"], record["first_trigger_id"], record["last_trigger_id"]) == ("cam0", 3, 4)
    assert "rows of seq 3 to 4" in record["detail"]
    assert row.seq == 17
    assert json.loads(journal.read(17, 17)[0][1])["kind"] == "lost_range"
    assert journal.oldest_seq == 5
    status = retention.status()
    assert status["freed"]["unacknowledged_rows"] == 2
    assert "rows 3 to 4" in status["alarm"]
    disk.free = FREE[DiskLevel.FINE]
    assert not retention.step().is_busy
    assert retention.may_write
    assert journal.oldest_seq == 5
    assert journal.triggers(LEDGER_EPOCH, "cam0", 1) == set(range(1, 17))
    assert retention.status()["alarm"], "a loss is not forgotten because there is space again"


def test_the_partition_that_grows_goes_only_when_it_is_worth_it(tmp_path: Path, disk: HandMadeDisk) -> None:
    journal = Journal.open(tmp_path / "journal")
    retention = Retention(configuration(tmp_path), journal, free_of=disk)
    disk.free = FREE[DiskLevel.EVICT]
    journal.append([inspection(1)])
    assert run_dry(retention) == 0
    journal.append([inspection(2, pad="x" * 5 * MB)])
    assert run_dry(retention) == 1
    assert (journal.oldest_seq, journal.head_seq) == (3, 2)
    assert journal.append([inspection(3)]) == [3]
    journal.close()


def test_a_level_is_left_only_when_there_is_clearly_more_space(tmp_path: Path, disk: HandMadeDisk) -> None:
    space = DiskSpace(tmp_path, configuration(tmp_path).recorder, free_of=disk)
    ballast = 5 * MB
    levels = []
    for free_mb in (41, 39, 43, 45, 19, 21, 23, 9, 10.5, 11.5, 60):
        held = (tmp_path / "ballast").exists()
        disk.free = int(free_mb * MB) + (0 if held else ballast)
        levels.append(space.look().name)
    assert levels == ["FINE", "WARN", "WARN", "FINE", "EVICT", "EVICT", "WARN", "STOP", "STOP", "EVICT", "FINE"]


def test_the_ballast_is_given_up_at_the_hard_limit_and_taken_again_later(tmp_path: Path, disk: HandMadeDisk) -> None:
    space = DiskSpace(tmp_path, configuration(tmp_path).recorder, free_of=disk)
    ballast = tmp_path / "ballast"
    space.look()
    assert ballast.stat().st_blocks * 512 >= 5 * MB
    disk.free = FREE[DiskLevel.STOP]
    assert space.look() is DiskLevel.STOP
    assert not ballast.exists()
    disk.free = 15 * MB  # the ballast's own 5 MB are no reason to go on
    assert space.look() is DiskLevel.STOP
    disk.free = FREE[DiskLevel.FINE]
    assert space.look() is DiskLevel.FINE
    assert ballast.exists()


def test_a_reader_elsewhere_sees_what_retention_left(tmp_path: Path, journal: Journal, disk: HandMadeDisk) -> None:
    reader = JournalReader(tmp_path / "journal")
    disk.free = FREE[DiskLevel.EVICT]
    run_dry(Retention(configuration(tmp_path), journal, free_of=disk))
    assert (reader.oldest_seq, reader.head_seq) == (13, 16)
    assert [seq for seq, _ in reader.read(1, 16)] == [13, 14, 15, 16]
    reader.close()
