"""What the journal promises to its one writer and to any reader."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.records.journal import Journal
from appliance.records.reader import JournalReader
from appliance.testing.journal_records import LEDGER_EPOCH, inspection, unrecorded

HOUR_NS = 3600 * 10**9


class HandClock:
    """Wall time that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def journal(tmp_path: Path, clock: HandClock) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "journal", clock=clock)
    yield journal
    journal.close()


def hours_of(journal: Journal, clock: HandClock, hours: int, rows: int) -> None:
    for _ in range(hours):
        clock.now_ns += HOUR_NS
        first = journal.head_seq + 1
        journal.append([inspection(number) for number in range(first, first + rows)])


def test_seqs_are_dense_and_go_on_after_a_new_start(journal: Journal, tmp_path: Path) -> None:
    assert journal.head_seq == 0
    assert journal.append([inspection(7), inspection(8)]) == [1, 2]
    epoch = journal.epoch
    journal.close()
    again = Journal.open(tmp_path / "journal")
    assert again.epoch == epoch
    assert again.append([inspection(9)]) == [3]
    again.close()


def test_rows_carry_epoch_and_seq_and_all_that_was_given(journal: Journal) -> None:
    record = inspection(7, defects=[{"class_name": "毛刺", "score": 0.9}])
    journal.append([record])
    [(seq, body)] = journal.read(1, 1)
    assert seq == 1
    assert json.loads(body) == {**record, "epoch": journal.epoch, "seq": 1}


def test_an_inspection_is_never_journalled_twice_also_not_across_partitions(
    journal: Journal, clock: HandClock, tmp_path: Path
) -> None:
    hours_of(journal, clock, 3, 2)
    journal.drop(journal.partitions()[0])
    journal.close()
    again = Journal.open(tmp_path / "journal", clock=clock)
    for number in (1, 3, 5):  # dropped, sealed, still growing
        assert again.has_inspection(LEDGER_EPOCH, number)
        with pytest.raises(ValueError, match=f"inspection {number} .* journalled already"):
            again.append([inspection(99), inspection(number)])
    assert not again.has_inspection(LEDGER_EPOCH, 99)
    assert again.head_seq == 6
    with pytest.raises(ValueError, match="journalled already"):
        again.append([inspection(99), inspection(99)])
    again.close()


def test_triggers_are_known_through_views_and_ranges_of_all_partitions(journal: Journal, clock: HandClock) -> None:
    views = [{"camera": "cam0", "trigger_id": 3, "view": name} for name in "ab"]
    journal.append([inspection(1), inspection(2, views=[*views, {"camera": "cam1", "trigger_id": 9, "view": "a"}])])
    clock.now_ns += HOUR_NS
    journal.append([unrecorded(5, 7), {**unrecorded(1, 1), "kind": "late_finding", "trigger_id": 8}])
    assert journal.triggers(LEDGER_EPOCH, "cam0", 0) == {1, 3, 5, 6, 7}
    assert journal.triggers(LEDGER_EPOCH, "cam0", 6) == {6, 7}
    assert journal.triggers(LEDGER_EPOCH, "cam1", 0) == {9}
    assert journal.triggers("another epoch", "cam0", 0) == set()
    assert journal.last_trigger(LEDGER_EPOCH, "cam0") == 7
    assert journal.last_trigger(LEDGER_EPOCH, "cam2") is None


def test_each_hour_has_a_file_and_a_clock_set_back_a_little_makes_no_new_one(
    journal: Journal, clock: HandClock
) -> None:
    hours_of(journal, clock, 2, 1)
    clock.now_ns -= HOUR_NS // 2
    journal.append([inspection(50)])
    assert [(each.first_seq, each.last_seq) for each in journal.partitions()] == [(1, 1), (2, None)]
    clock.now_ns -= 48 * HOUR_NS
    journal.append([inspection(51)])
    assert [(each.first_seq, each.last_seq) for each in journal.partitions()] == [(1, 1), (2, 3), (4, None)]


def test_a_partition_that_grows_too_large_ends_before_its_hour(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, partition_max_mb=1)
    for number in range(40):
        journal.append([inspection(number, pad="x" * 100_000)])
    assert len(journal.partitions()) >= 2
    assert [seq for seq, _ in journal.read(1, 40)] == list(range(1, 41))
    journal.close()


def test_a_dropped_partition_is_gone_from_the_disk_and_the_rest_stays(journal: Journal, clock: HandClock) -> None:
    hours_of(journal, clock, 3, 2)
    reader = journal.reader()
    oldest, *rest = journal.partitions()
    with pytest.raises(ValueError, match="not the oldest"):
        journal.drop(rest[0])
    journal.drop(oldest)
    assert oldest.bytes == 0
    assert not list(oldest.path.parent.glob(f"{oldest.path.name}*"))
    assert (journal.oldest_seq, journal.head_seq) == (3, 6)
    assert [seq for seq, _ in reader.read(1, 6)] == [3, 4, 5, 6]
    assert reader.oldest_seq == 3
    journal.drop(rest[0])
    with pytest.raises(ValueError, match="not the oldest"):
        journal.drop(rest[1])
    reader.close()


def test_a_reader_in_the_middle_of_a_partition_survives_its_being_dropped(journal: Journal, clock: HandClock) -> None:
    hours_of(journal, clock, 2, 5)
    reader = journal.reader()
    listed = reader.partitions()
    with reader.opened(listed[0]) as file:
        assert file is not None
        assert file.last_seq() == 5
        journal.drop(journal.partitions()[0])
        assert len(file.read(1, 5, 10)) == 5
    with reader.opened(listed[0]) as file:
        assert file is None
    reader.close()


def test_a_reader_sees_each_commit_at_once_and_pages_through_partitions(journal: Journal, clock: HandClock) -> None:
    journal.append([inspection(1)])
    reader = journal.reader()
    assert (reader.oldest_seq, reader.head_seq, reader.epoch) == (1, 1, journal.epoch)
    hours_of(journal, clock, 3, 4)
    assert reader.head_seq == 13
    assert [seq for seq, _ in reader.read(4, 100, limit=6)] == [4, 5, 6, 7, 8, 9]
    assert reader.read(14, 20) == []
    reader.close()


def test_what_is_open_to_readers_never_blocks_the_writer(journal: Journal, tmp_path: Path) -> None:
    journal.append([inspection(number) for number in range(1, 9)])
    reader = JournalReader(tmp_path / "journal")
    with reader.opened(reader.partitions()[-1]) as file:
        assert file is not None
        rows = file.connection.execute("SELECT seq FROM record ORDER BY seq")
        assert next(rows) == (1,)  # a read transaction is open from here on
        journal.append([inspection(number) for number in range(9, 99)])
        journal.seal()
        assert [seq for (seq,) in rows] == list(range(2, 9))
    assert reader.head_seq == 98
    reader.close()


def test_an_acknowledgement_only_rises_and_never_beyond_the_head(journal: Journal, tmp_path: Path) -> None:
    journal.append([inspection(number) for number in range(1, 6)])
    assert journal.acknowledge("mes", 4) == 4
    assert journal.acknowledge("mes", 2) == 4
    assert journal.acknowledge("archive", 1) == 1
    with pytest.raises(ValueError, match="head is 5"):
        journal.acknowledge("mes", 6)
    journal.close()
    again = Journal.open(tmp_path / "journal")
    assert again.acknowledged() == {"archive": 1, "mes": 4}
    again.close()


@pytest.mark.parametrize(
    "broken",
    [{"no": "kind"}, inspection(1, score=float("nan")), {"kind": "inspection", "ledger_epoch": "x"}],
    ids=["no kind", "not a number", "no views"],
)
def test_a_record_that_can_not_be_kept_leaves_nothing_of_its_group(journal: Journal, broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="can't be journalled"):
        journal.append([inspection(5), broken])
    assert journal.head_seq == 0
    assert journal.append([inspection(5)]) == [1]


def test_leftovers_of_a_crash_between_two_steps_are_cleared_away(
    journal: Journal, clock: HandClock, tmp_path: Path
) -> None:
    hours_of(journal, clock, 2, 2)
    journal.close()
    folder = tmp_path / "journal"
    oldest = journal_files(folder)[0]
    content = oldest.read_bytes()
    journal = Journal.open(folder, clock=clock)
    journal.drop(journal.partitions()[0])
    journal.close()
    oldest.write_bytes(content)  # struck off, not yet unlinked
    (folder / "x.db.new").write_bytes(b"half")
    (folder / "y.db-wal").write_bytes(b"whose?")
    journal = Journal.open(folder, clock=clock)
    assert not oldest.exists()
    assert {path.suffix for path in folder.iterdir() if "catalog" not in path.name} <= {"", ".db", ".db-wal", ".db-shm"}
    assert (journal.oldest_seq, journal.head_seq) == (3, 4)
    journal.close()


def journal_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.db") if path.name != "catalog.db")
