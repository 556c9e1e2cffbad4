"""kill -9 in the middle of appending, sealing and dropping: what was said to be durable is there, once, in order."""

import json
import random
import time
from contextlib import closing
from pathlib import Path

import pytest

from appliance.records.journal import Journal
from appliance.records.reader import JournalReader
from appliance.testing.journal_records import LEDGER_EPOCH, inspection
from appliance.testing.nursery import Nursery
from appliance.testing.patience import PATIENCE_S


def acknowledged_head(path: Path) -> int:
    return int.from_bytes(path.read_bytes() if path.exists() else b"", "little")


def wait_for_rows(path: Path, more_than: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while acknowledged_head(path) <= more_than:
        assert time.monotonic() < deadline, "the writer writes nothing"
        time.sleep(0.001)


def wait_for_drop(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with closing(JournalReader(folder)) as reader:
        while reader.oldest_seq <= 1:
            assert time.monotonic() < deadline, "the writer drops nothing"
            time.sleep(0.01)


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(0)])])
def test_a_killed_writer_leaves_every_acknowledged_row_once_and_no_gap(tmp_path: Path, kills: int) -> None:
    random_numbers = random.Random(7)
    folder, acknowledged = tmp_path / "journal", tmp_path / "acknowledged"
    epoch = None
    with Nursery("appliance.testing.journal_writer") as nursery:
        for seed in range(kills):
            before = acknowledged_head(acknowledged)
            call = "appliance.testing.journal_writer:write_until_killed"
            child = nursery.start(call, str(folder), str(acknowledged), seed)
            wait_for_rows(acknowledged, before)
            time.sleep(random_numbers.random() * 0.08)  # somewhere in the middle of whatever it does
            nursery.kill(child)
            durable = acknowledged_head(acknowledged)
            reader = JournalReader(folder)  # beside no writer at all, with the WAL as the killed one left it
            head_of_the_dead = reader.head_seq
            reader.close()
            journal = Journal.open(folder)
            assert epoch in (None, journal.epoch)
            epoch = journal.epoch
            assert journal.head_seq >= durable
            assert journal.head_seq == head_of_the_dead
            rows = journal.read(1, journal.head_seq, limit=10**6)
            assert [seq for seq, _ in rows] == list(range(journal.oldest_seq, journal.head_seq + 1))
            assert all(json.loads(body)["inspection_id"] == seq for seq, body in rows)
            assert journal.triggers(LEDGER_EPOCH, "cam0", 1) == set(range(1, journal.head_seq + 1))
            journal.close()
        child = nursery.start(call, str(folder), str(acknowledged), kills)
        wait_for_drop(folder)  # however little a slow machine wrote in those moments
        nursery.kill(child)


def test_readers_beside_a_busy_writer_see_rows_in_order_without_gaps(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "journal", tmp_path / "acknowledged"
    with Nursery("appliance.testing.journal_writer") as nursery:
        call = "appliance.testing.journal_writer:write_until_killed"
        child = nursery.start(call, str(folder), str(acknowledged), 1)
        wait_for_rows(acknowledged, 0)
        reader = JournalReader(folder)
        cursor, seen, deadline = 1, 0, time.monotonic() + PATIENCE_S
        while seen < 500:
            assert time.monotonic() < deadline, f"the writer writes nothing: {seen} rows"
            durable = acknowledged_head(acknowledged)
            rows = reader.read(cursor, durable)
            if not rows:
                assert cursor > durable or reader.oldest_seq > cursor
                continue
            first = rows[0][0]
            assert first == cursor or cursor < reader.oldest_seq <= first
            assert [seq for seq, _ in rows] == list(range(first, first + len(rows)))
            cursor, seen = rows[-1][0] + 1, seen + len(rows)
        reader.close()
        nursery.kill(child)


def test_an_open_reader_outlives_the_writer_and_its_successor_goes_on(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "journal", tmp_path / "acknowledged"
    with Nursery("appliance.testing.journal_writer") as nursery:
        call = "appliance.testing.journal_writer:write_until_killed"
        child = nursery.start(call, str(folder), str(acknowledged), 1)
        wait_for_rows(acknowledged, 50)
        reader = JournalReader(folder)
        nursery.kill(child)
    head = reader.head_seq
    journal = Journal.open(folder)
    assert journal.append([inspection(head + 1)]) == [head + 1]
    assert reader.head_seq == head + 1
    journal.close()
    reader.close()
