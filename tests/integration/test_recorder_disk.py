"""The recorder and its disk: stalls, errors, no space, and files it must not touch."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.messages import VerdictWord
from appliance.testing.faults.disks import Filler, SmallTmpfs, mount_obstacle
from appliance.testing.faults.preload import FaultSwitch, Operation
from appliance.testing.patience import PATIENCE_S
from appliance.testing.recorder_stand import RecorderStand

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

OK, NG = VerdictWord.OK, VerdictWord.NG


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[FaultSwitch]:
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    hand = FaultSwitch(tmp_path)
    yield hand
    hand.close()


def run(stand: RecorderStand, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, which is meant to come at once."""
    argv = [sys.executable, "-m", "appliance", *words, "--config", str(stand.config_path)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_disk_that_stalls_for_half_a_second_costs_no_picture_and_no_answer(
    tmp_path: Path, switch: FaultSwitch
) -> None:
    with RecorderStand(tmp_path, slots=16, environment=switch.environment(os.environ)) as stand:
        stand.start()
        stand.wait_for(lambda: stand.status()["frames"]["cam0"]["is_connected"])
        rule = switch.fail(stand.state_dir, Operation.SYNC, delay_ms=500)
        beats = len(stand.heartbeats)
        numbers = []
        for _ in range(60):  # twice as many pictures as the ring has slots
            numbers.append(stand.decide(NG))
            stand.listen(0.02)
        stand.wait_for(lambda: len(stand.heartbeats) >= beats + 2)
        assert switch.release(rule) > 0
        stand.wait_for(lambda: sorted(stand.told()) == numbers)
        assert all(result["image"]["missing"] == [] for result in stand.results)
        assert stand.status()["frames"]["cam0"]["given_up"] == {}


def test_a_disk_that_fails_ends_the_recorder_and_the_next_one_goes_on(tmp_path: Path, switch: FaultSwitch) -> None:
    with RecorderStand(tmp_path, environment=switch.environment(os.environ)) as stand:
        stand.start()
        numbers = [stand.decide() for _ in range(3)]
        stand.wait_for(lambda: sorted(stand.told()) == numbers)
        rule = switch.fail(stand.state_dir / "journal", Operation.SYNC, error=errno.EIO)
        numbers.append(stand.decide())
        assert stand.process is not None
        assert stand.process.wait(PATIENCE_S) == ExitCode.JOURNAL
        switch.release(rule)
        numbers.append(stand.decide())
        stand.start()
        stand.wait_for(lambda: stand.heartbeats[-1].head_seq == len(numbers))
        # A row waits for its picture, so a later part's row may come first.
        assert sorted(row["views"][0]["trigger_id"] for row in stand.journalled()) == numbers


@pytest.mark.skipif(mount_obstacle() is not None, reason=str(mount_obstacle()))
def test_a_full_disk_holds_rows_back_and_nothing_else(tmp_path: Path) -> None:
    with SmallTmpfs(tmp_path / "disk", 16) as disk, RecorderStand(tmp_path, state_dir=disk.folder / "state") as stand:
        stand.start()
        first = stand.decide(NG)
        assert stand.result(first)["image"]["missing"] == []
        filler = Filler(disk.folder)
        filler.fill()
        stand.wait_for(lambda: stand.status()["disk"]["level"] == "stop")
        numbers = [first]
        for _ in range(20):
            numbers.append(stand.decide(NG))
            stand.listen(0.005)
        seen = len(stand.heartbeats)
        stand.wait_for(lambda: len(stand.heartbeats) >= seen + 2)
        assert stand.told() == [first]
        assert stand.journalled()[-1]["views"][0]["trigger_id"] == first, "replay answers on a full disk"
        stand.kill()
        stand.start()
        assert stand.journalled()[-1]["views"][0]["trigger_id"] == first, "and so does the next recorder"
        filler.release()
        stand.wait_for(lambda: sorted(stand.told()) == numbers)
        why = {missing["why"] for result in stand.results for missing in result["image"]["missing"]}
        assert why
        assert why <= {"disk_full", "recorder_down"}
        stand.wait_for(lambda: stand.status()["disk"]["level"] != "stop")
        assert stand.result(stand.decide(NG))["image"]["missing"] == []


def test_a_foreign_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with RecorderStand(tmp_path) as stand:
        stand.start()
        stand.stop()
    catalog = stand.state_dir / "journal" / "catalog.db"
    catalog.write_bytes(b"not a database at all" * 100)
    alone, whole = run(stand, "stage", "record"), run(stand, "run")
    assert (alone.returncode, whole.returncode) == (ExitCode.JOURNAL, ExitCode.JOURNAL)
    assert str(catalog) in alone.stderr
    assert len(alone.stderr.splitlines()) == 1
    assert str(catalog) in whole.stderr, "a person is there to read it"
    assert catalog.read_bytes() == b"not a database at all" * 100


def test_a_second_recorder_on_one_journal_is_refused(tmp_path: Path) -> None:
    with RecorderStand(tmp_path) as stand:
        stand.start()
        said = run(stand, "stage", "record")
        assert said.returncode == ExitCode.JOURNAL
        assert "another recorder" in said.stderr
        assert stand.result(stand.decide())["verdict"] == "OK"


def test_images_that_can_not_be_kept_are_a_clear_refusal(tmp_path: Path) -> None:
    with RecorderStand(tmp_path) as stand:
        (stand.state_dir / "images").write_text("somebody's file")
        said = run(stand, "stage", "record")
        assert said.returncode == ExitCode.CONFIG
        assert "images: can't be used" in said.stderr
