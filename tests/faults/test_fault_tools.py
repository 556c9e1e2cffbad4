"""The tools that hurt a running appliance do what they say, and nothing else."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.testing.faults.disks import Filler, LoopDisk, SmallTmpfs, mount_obstacle
from appliance.testing.faults.preload import FaultSwitch, Operation, build_hooks

needs_mounts = pytest.mark.skipif(mount_obstacle() is not None, reason=mount_obstacle() or "")

_VICTIM = """
import errno, json, os, sys, time
folder = sys.argv[1]
fd = os.open(folder + "/open", os.O_RDWR | os.O_CREAT)
def report():
    outcome = {}
    calls = {
        "write": lambda: os.write(fd, b"x"),
        "pwrite": lambda: os.pwrite(fd, b"x", 0),
        "fsync": lambda: os.fsync(fd),
        "fdatasync": lambda: os.fdatasync(fd),
        "rename": lambda: os.rename(make("from"), folder + "/to"),
        "create": lambda: os.close(os.open(folder + "/new", os.O_WRONLY | os.O_CREAT)),
        "truncate": lambda: os.ftruncate(fd, 100),
        "fallocate": lambda: os.posix_fallocate(fd, 0, 100),
        "read": lambda: os.pread(fd, 1, 0),
        "elsewhere": lambda: os.write(other, b"x"),
    }
    for name, call in calls.items():
        began = time.monotonic()
        try:
            call()
            outcome[name] = 0
        except OSError as error:
            outcome[name] = error.errno
        outcome[name + "_ms"] = 1000 * (time.monotonic() - began)
    outcome["wall"], outcome["monotonic"] = time.time(), time.monotonic()
    return outcome
def make(name):
    os.close(os.open(folder + "-beside-" + name, os.O_WRONLY | os.O_CREAT))
    return folder + "-beside-" + name
other = os.open(folder + "-elsewhere", os.O_WRONLY | os.O_CREAT)
for line in sys.stdin:
    print(json.dumps(report()), flush=True)
"""


class Victim:
    """A process that tries every call when asked."""

    def __init__(self, switch: FaultSwitch, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=switch.environment(os.environ),
        )
        self.tries()  # it has started

    def tries(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        outcome: dict[str, float] = json.loads(self._process.stdout.readline())
        return outcome

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[FaultSwitch]:
    switch = FaultSwitch(tmp_path)
    yield switch
    switch.close()


@pytest.fixture
def victim(switch: FaultSwitch, tmp_path: Path) -> Iterator[Victim]:
    (tmp_path / "disk").mkdir()
    victim = Victim(switch, tmp_path / "disk")
    yield victim
    victim.close()


def errors(outcome: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in outcome.items() if value and f"{name}_ms" in outcome}


def test_a_disk_that_runs_fails_and_heals_at_command(switch: FaultSwitch, victim: Victim, tmp_path: Path) -> None:
    assert errors(victim.tries()) == {}
    rule = switch.fail(tmp_path / "disk", Operation.ANY, error=errno.EIO)
    struck = ("write", "pwrite", "fsync", "fdatasync", "rename", "create", "truncate", "fallocate")
    assert errors(victim.tries()) == dict.fromkeys(struck, errno.EIO)
    assert switch.release(rule) == len(struck)
    assert errors(victim.tries()) == {}


def test_only_the_named_operations_fail(switch: FaultSwitch, victim: Victim, tmp_path: Path) -> None:
    rule = switch.fail(tmp_path / "disk", Operation.WRITE | Operation.CREATE, error=errno.ENOSPC)
    assert errors(victim.tries()) == dict.fromkeys(("write", "pwrite", "create"), errno.ENOSPC)
    switch.release(rule)


def test_a_slow_disk_delays_and_does_not_fail(switch: FaultSwitch, victim: Victim, tmp_path: Path) -> None:
    rule = switch.fail(tmp_path / "disk", Operation.SYNC, delay_ms=120)
    outcome = victim.tries()
    assert errors(outcome) == {}
    assert min(outcome["fsync_ms"], outcome["fdatasync_ms"]) >= 120
    assert max(outcome["write_ms"], outcome["rename_ms"]) < 100
    assert switch.release(rule) == 2


def test_the_wall_clock_jumps_and_the_monotonic_one_does_not(switch: FaultSwitch, victim: Victim) -> None:
    for seconds in (3600, -3600, 0):
        switch.shift_wall_clock(seconds)
        outcome = victim.tries()
        assert abs(outcome["wall"] - time.time() - seconds) < 5
        assert abs(outcome["monotonic"] - time.monotonic()) < 5


def test_a_process_without_a_control_file_runs_as_ever(tmp_path: Path) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(build_hooks()), "APPLIANCE_FAULTS": str(tmp_path / "missing")}
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.write(1, b'well')"], env=environment, capture_output=True, check=True
    )
    assert done.stdout == b"well"


@needs_mounts
def test_a_filled_disk_takes_nothing_until_it_is_relieved(tmp_path: Path) -> None:
    with SmallTmpfs(tmp_path / "disk", 2) as disk:
        filler = Filler(disk.folder)
        assert filler.fill() > 1_500_000
        with pytest.raises(OSError, match="No space"):
            (disk.folder / "more").write_bytes(bytes(10_000))
        filler.release()
        (disk.folder / "more").write_bytes(bytes(10_000))
    assert list((tmp_path / "disk").iterdir()) == []


@needs_mounts
def test_a_power_cut_keeps_what_was_made_durable_and_loses_the_rest(tmp_path: Path) -> None:
    with LoopDisk(tmp_path / "disk.img", tmp_path / "disk", 16) as disk:
        directory = os.open(disk.folder, os.O_RDONLY | os.O_DIRECTORY)
        with (disk.folder / "durable").open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        os.fsync(directory)
        (disk.folder / "hasty").write_bytes(b"lost")
        os.close(directory)
        disk.cut_power()
        with pytest.raises(OSError, match="Input/output"):
            (disk.folder / "durable").read_bytes()
        disk.restore()
        assert (disk.folder / "durable").read_bytes() == b"kept"
        assert not (disk.folder / "hasty").exists()
