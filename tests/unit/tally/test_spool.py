import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.tally import SpoolReader, SpoolWriter
from appliance.tally import spool as spool_module
from appliance.tally.spool import spool_dir


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in spool_dir(folder).iterdir())


def bodies(reader: SpoolReader, limit: int = 1000) -> list[bytes]:
    return [entry.body for entry in reader.read(limit)]


def test_entries_come_in_order_as_they_are_appended(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    assert bodies(reader) == []
    writer.append(b"one")
    writer.append(b"two")
    assert bodies(reader, limit=1) == [b"one"]
    writer.append(b"")
    assert bodies(reader) == [b"two", b""]
    assert bodies(reader) == []
    writer.close()
    reader.close()


def test_a_new_writer_begins_a_new_segment_and_the_reader_follows(tmp_path: Path) -> None:
    reader = SpoolReader(tmp_path)
    for number in range(3):
        writer = SpoolWriter(tmp_path, 1 << 20)
        writer.append(b"%d" % number)
        writer.close()
    assert bodies(reader) == [b"0", b"1", b"2"]
    reader.close()


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_torn_end_is_passed_over_once_a_new_writer_is_there(tmp_path: Path, cut: int) -> None:
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    writer.append(b"whole")
    writer.append(b"killed!!")  # 16 bytes with its head
    writer.close()
    path = spool_dir(tmp_path) / segments(tmp_path)[0]
    os.truncate(path, path.stat().st_size - cut)
    assert bodies(reader) == [b"whole"]
    assert bodies(reader) == []
    writer = SpoolWriter(tmp_path, 1 << 20)
    writer.append(b"next")
    assert bodies(reader) == [b"next"]
    assert reader.torn == 1
    writer.close()
    reader.close()


def test_a_segment_is_deleted_when_all_its_entries_are_done_and_the_writer_has_moved_on(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    writer.append(b"a")
    writer.append(b"b")
    first, second = reader.read(10)
    reader.done(second)
    reader.done(first)
    assert len(segments(tmp_path)) == 1
    writer.close()
    writer = SpoolWriter(tmp_path, 1 << 20)
    assert bodies(reader) == []
    assert len(segments(tmp_path)) == 1
    writer.close()
    reader.close()


def test_a_reader_that_stops_after_its_writer_leaves_nothing_that_is_done(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    writer.append(b"a")
    for entry in reader.read(10):
        reader.done(entry)
    writer.close()
    reader.close()
    assert segments(tmp_path) == []
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    writer.append(b"b")
    assert bodies(reader) == [b"b"]
    writer.close()
    reader.close()
    assert len(segments(tmp_path)) == 1, "it is not done"


def test_a_reader_that_stops_takes_nothing_from_a_living_writer(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    writer.append(b"a")
    for entry in reader.read(10):
        reader.done(entry)
    reader.close()
    writer.append(b"b")
    reader = SpoolReader(tmp_path)
    assert bodies(reader) == [b"a", b"b"]
    writer.close()
    reader.close()


def test_what_is_not_done_is_read_again_by_a_new_reader(tmp_path: Path) -> None:
    writer, reader = SpoolWriter(tmp_path, 1 << 20), SpoolReader(tmp_path)
    writer.append(b"a")
    reader.read(10)
    reader.close()
    reader = SpoolReader(tmp_path)
    assert bodies(reader) == [b"a"]
    writer.close()
    reader.close()


def test_a_full_spool_refuses_and_takes_again_when_the_recorder_has_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 100)
    writer, reader = SpoolWriter(tmp_path, 400), SpoolReader(tmp_path)
    taken = 0
    while writer.append(b"x" * 40):
        taken += 1
    assert writer.refused == 1
    entries = reader.read(100)
    assert len(entries) == taken
    for entry in entries:
        reader.done(entry)
    assert writer.append(b"x" * 40)
    writer.close()
    reader.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(["read", "done", "restart", "reread"]))))
def test_every_entry_is_read_once_in_order_whatever_the_timing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | str]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "SEGMENT_BYTES", 200)
        writer, reader = SpoolWriter(folder, 1 << 20), SpoolReader(folder)
        expected: list[bytes] = []
        open_entries = []
        done = 0
        for step in steps:
            if isinstance(step, bytes):
                assert writer.append(step)
                expected.append(step)
            elif step == "read":
                open_entries += reader.read(3)
            elif step == "done":
                for entry in open_entries:
                    reader.done(entry)
                done += len(open_entries)
                open_entries = []
            elif step == "restart":
                writer.close()
                writer = SpoolWriter(folder, 1 << 20)
        rest = reader.read(1000)
        assert [entry.body for entry in open_entries + rest] == expected[done:]
        writer.close()
        reader.close()
