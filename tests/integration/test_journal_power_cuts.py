"""The power fails in the middle of appending, sealing and dropping: what was said to be durable is there, once."""

import random
import time
from pathlib import Path

import pytest

from appliance.records.journal import Journal
from appliance.testing.faults.disks import LoopDisk, mount_obstacle
from appliance.testing.journal_records import LEDGER_EPOCH
from appliance.testing.nursery import Nursery
from appliance.testing.patience import PATIENCE_S

NEEDS_MOUNT = mount_obstacle()
ROWS_TO_DROP = 200
"""With so many rows the writer has dropped some, however slow the machine is."""


@pytest.mark.skipif(NEEDS_MOUNT is not None, reason=str(NEEDS_MOUNT))
@pytest.mark.parametrize("cuts", [4, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(0)])])
def test_power_cuts_lose_no_acknowledged_row(tmp_path: Path, cuts: int) -> None:
    random_numbers = random.Random(5)
    acknowledged, dropped = tmp_path / "acknowledged", 0
    call = "appliance.testing.journal_writer:write_until_killed"
    with LoopDisk(tmp_path / "disk.img", tmp_path / "disk", 64) as disk:
        folder = disk.folder / "journal"
        for cut in range(cuts):
            before = durable_head(acknowledged)
            with Nursery("appliance.testing.journal_writer") as nursery:
                child = nursery.start(call, str(folder), str(acknowledged), cut)
                wait_for_rows(acknowledged, before if cut else ROWS_TO_DROP)
                time.sleep(random_numbers.random() * 0.1)  # somewhere in the middle of whatever it does
                promised = durable_head(acknowledged)  # what is said from here on is said by a machine without power
                disk.cut_power()
                nursery.kill(child)
            disk.restore()
            journal = Journal.open(folder)
            assert journal.head_seq >= promised
            rows = journal.read(1, journal.head_seq, limit=10**6)
            assert [seq for seq, _ in rows] == list(range(journal.oldest_seq, journal.head_seq + 1))
            assert journal.triggers(LEDGER_EPOCH, "cam0", 1) == set(range(1, journal.head_seq + 1))
            dropped = journal.oldest_seq - 1
            journal.close()
    assert dropped, "nothing was ever dropped: the test tests less than it says"


def durable_head(path: Path) -> int:
    return int.from_bytes(path.read_bytes() if path.exists() else b"", "little")


def wait_for_rows(path: Path, more_than: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while durable_head(path) <= more_than:
        assert time.monotonic() < deadline, "the writer writes nothing"
        time.sleep(0.001)
