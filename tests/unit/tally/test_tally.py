import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import TallyError, TallyFull
from appliance.messages import Reason, Trigger, VerdictWord
from appliance.tally import AnnouncedReader, AnnouncedWriter, DecidedWriter, Decision, count, ledger_epoch, records
from appliance.tally.announced import announced_path
from appliance.tally.ids import BLOCK, IdBlock

CAMERA = "cam0"


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> int:
    capacity = 8
    monkeypatch.setattr(records.TallyHeader.__init__, "__defaults__", (capacity,))
    return capacity


def grabber_pen(folder: Path) -> AnnouncedWriter:
    return AnnouncedWriter(folder, folder / "state", CAMERA)


def publisher_pen(folder: Path, first_id: int = 1) -> DecidedWriter:
    return DecidedWriter(folder, CAMERA, ledger_epoch(folder / "state"), first_id)


def announce(pen: AnnouncedWriter, number: int = 1) -> None:
    for _ in range(number):
        pen.announce(Trigger(trigger_id=pen.next_trigger_id, exposed_ns=1000 + pen.next_trigger_id))


def decision(trigger_id: int, verdict: VerdictWord = VerdictWord.OK, reason: Reason = Reason.NONE) -> Decision:
    return Decision(trigger_id, trigger_id, trigger_id, verdict, reason, is_sent=True, decided_ns=1, deadline_ns=2)


def test_ids_go_on_where_a_killed_grabber_stopped(tmp_path: Path) -> None:
    first = grabber_pen(tmp_path)
    announce(first, 3)
    first.close()
    second = grabber_pen(tmp_path)
    assert second.next_trigger_id == 4
    assert second.last is not None
    assert second.last.trigger_id == 3
    second.close()


def test_ids_after_a_power_loss_start_at_the_reserved_limit(tmp_path: Path) -> None:
    pen = grabber_pen(tmp_path)
    announce(pen, 3)
    pen.close()
    announced_path(tmp_path, CAMERA).unlink()  # a tmpfs is empty after a power loss
    pen = grabber_pen(tmp_path)
    assert pen.next_trigger_id == BLOCK
    assert pen.last is None
    pen.close()


def test_files_of_an_earlier_boot_are_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pen = grabber_pen(tmp_path)
    announce(pen, 3)
    pen.close()
    for module in ("announced", "records", "decided"):
        monkeypatch.setattr(f"appliance.tally.{module}.boot_id", lambda: b"another boot....")
    pen = grabber_pen(tmp_path)
    assert pen.next_trigger_id == BLOCK
    pen.close()


def test_reserved_blocks_never_overlap(tmp_path: Path) -> None:
    block = IdBlock(tmp_path, "verdict")
    used_up_to = block.fresh_start + 2 * BLOCK
    block.ensure(used_up_to)
    block.close()
    assert IdBlock(tmp_path, "verdict").fresh_start > used_up_to


def test_a_damaged_reservation_is_refused_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "reserved.verdict").write_text("garbage")
    with pytest.raises(TallyError, match="expected a number, got 'garbage'"):
        IdBlock(tmp_path, "verdict")


def test_the_ledger_epoch_is_made_once(tmp_path: Path) -> None:
    assert ledger_epoch(tmp_path) == ledger_epoch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger_epoch"]


def test_an_undecided_trigger_is_never_overwritten(tmp_path: Path, small_window: int) -> None:
    grabber, publisher = grabber_pen(tmp_path), publisher_pen(tmp_path)
    announce(grabber, small_window)
    with pytest.raises(TallyFull, match="trigger 1 is still undecided"):
        announce(grabber)
    publisher.decide(decision(1))
    announce(grabber)
    assert grabber.next_trigger_id == small_window + 2
    grabber.close()
    publisher.close()


def test_a_trigger_is_decided_once(tmp_path: Path) -> None:
    publisher = publisher_pen(tmp_path)
    publisher.decide(decision(2, VerdictWord.NG))
    with pytest.raises(ValueError, match="decided already"):
        publisher.decide(decision(2, VerdictWord.OK))
    publisher.close()


def test_counts_add_up_in_any_order_of_decisions(tmp_path: Path) -> None:
    grabber, publisher = grabber_pen(tmp_path), publisher_pen(tmp_path)
    announce(grabber, 10)
    for number, verdict in ((7, VerdictWord.NG), (1, VerdictWord.OK), (3, VerdictWord.OK)):
        publisher.decide(decision(number, verdict))
    publisher.decide(decision(2, VerdictWord.UNKNOWN, Reason.LATE))
    counts = count(tmp_path, CAMERA)
    assert (counts.triggers, counts.ok, counts.ng, counts.unknown, counts.open) == (10, 2, 1, 1, 6)
    assert counts.unknown_by_reason == {"late": 1}
    assert counts.oldest_open_exposed_ns == 1004
    assert counts.invariant_holds
    grabber.close()
    publisher.close()


def test_counts_survive_a_killed_publisher_and_a_window_that_moved_on(tmp_path: Path, small_window: int) -> None:
    grabber = grabber_pen(tmp_path)
    for round_ in range(5):
        publisher = publisher_pen(tmp_path)  # a successor each time; none was closed: kill -9
        announce(grabber, small_window)
        for number in range(1 + round_ * small_window, 1 + (round_ + 1) * small_window):
            publisher.decide(decision(number, VerdictWord.UNKNOWN, Reason.RING_FULL))
        os.close(publisher._file._fd)
    counts = count(tmp_path, CAMERA)
    assert counts.unknown == counts.triggers == 5 * small_window
    assert counts.unknown_by_reason == {"ring_full": 5 * small_window}
    grabber.close()


def test_a_decision_without_announcement_breaks_the_invariant(tmp_path: Path) -> None:
    grabber, publisher = grabber_pen(tmp_path), publisher_pen(tmp_path)
    announce(grabber, 1)
    publisher.decide(decision(1))
    publisher.decide(decision(2))
    counts = count(tmp_path, CAMERA)
    assert counts.unannounced == 1
    assert not counts.invariant_holds
    grabber.close()
    publisher.close()


def test_a_lost_announcement_breaks_the_invariant(tmp_path: Path) -> None:
    grabber = grabber_pen(tmp_path)
    announce(grabber, 3)
    grabber._file.write(2, bytes(64))
    assert not count(tmp_path, CAMERA).invariant_holds
    grabber.close()


def test_a_torn_record_is_not_read(tmp_path: Path) -> None:
    grabber = grabber_pen(tmp_path)
    announce(grabber, 2)
    record = bytearray(Trigger(trigger_id=1, exposed_ns=7).pack())
    record[40] ^= 1
    grabber._file.write(1, bytes(record))
    reader = AnnouncedReader(tmp_path, CAMERA)
    reader.reopen()
    assert reader.read(1) is None
    assert reader.read(2) is not None
    reader.close()
    grabber.close()


def test_an_amended_trigger_carries_its_reason(tmp_path: Path) -> None:
    grabber = grabber_pen(tmp_path)
    announce(grabber, 1)
    grabber.amend(Trigger(trigger_id=1, exposed_ns=1001, reason=Reason.RING_FULL))
    reader = AnnouncedReader(tmp_path, CAMERA)
    reader.reopen()
    trigger = reader.read(1)
    assert trigger is not None
    assert trigger.reason is Reason.RING_FULL
    with pytest.raises(ValueError, match="never announced"):
        grabber.amend(Trigger(trigger_id=2, exposed_ns=1))
    reader.close()
    grabber.close()


def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = announced_path(tmp_path, CAMERA)
    path.write_bytes(b"somebody else's data" * 300)
    with pytest.raises(TallyError, match="not a tally file"):
        grabber_pen(tmp_path)
    assert path.read_bytes().startswith(b"somebody else's data")


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    grabber = grabber_pen(tmp_path)
    with pytest.raises(TallyError, match="another process writes here"):
        grabber_pen(tmp_path)
    grabber.close()
    grabber_pen(tmp_path).close()


def test_kill_9_never_tears_or_loses_an_announced_trigger(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from appliance.tally import AnnouncedWriter;"
        "from appliance.messages import Trigger; folder = Path(sys.argv[1]);"
        "pen = AnnouncedWriter(folder, folder / 'state', 'cam0')\n"
        "while True:\n"
        "    pen.announce(Trigger(trigger_id=pen.next_trigger_id, exposed_ns=pen.next_trigger_id * 3))\n"
        "    if pen.next_trigger_id % 50 == 0: print(pen.next_trigger_id - 1, flush=True)\n"
    )
    acknowledged = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(20):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        reader = AnnouncedReader(tmp_path, CAMERA)
        reader.reopen()
        last = reader.last_id()
        assert last is not None
        assert last >= acknowledged
        for number in range(1, last + 1):
            trigger = reader.read(number)
            assert trigger is not None
            assert trigger.exposed_ns == number * 3
        reader.close()
