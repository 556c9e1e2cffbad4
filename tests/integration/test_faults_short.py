"""A fault campaign in short: every process dies once, stops, meets a bad disk; the judges find every promise kept."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.testing.faults.campaign import run_campaign
from appliance.testing.faults.disks import Filler, LoopDisk, SmallTmpfs, mount_obstacle
from appliance.testing.faults.fuzz import fuzz_appliance
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.plan import Fault, Kind
from appliance.testing.faults.power_cuts import run_power_cuts

ROOMY = {"deadline_ms": 2500.0, "send_margin_ms": 1000.0}
"""Other tests and other people share the machine, which may stand still for a second: verdicts have to wait, too."""
STAGES = ("publish", "inspect", "grab-cam0", "record")


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def every_fault() -> list[Fault]:
    faults = [
        *((Kind.KILL, (stage,), 0.0, 0.0) for stage in STAGES),
        (Kind.KILL_AGAIN, ("record",), 0.3, 0.0),
        (Kind.STOP, ("inspect",), 1.0, 0.0),
        (Kind.STOP, ("publish",), 0.8, 0.0),
        (Kind.STOP, ("record",), 0.5, 0.0),
        (Kind.SLOW_DISK, (), 1.0, 0.0),
        (Kind.DISK_ERROR, (), 0.3, 0.0),
        (Kind.FROZEN_SUBSCRIBER, (), 0.3, 0.0),
        (Kind.KILL_MES, (), 0.0, 0.0),
        (Kind.CLOCK_JUMP, (), 0.3, 3600.0),
        (Kind.CLOCK_JUMP, (), 0.3, -3600.0),
        (Kind.DISK_FULL, (), 0.5, 0.0),
    ]
    return [
        Fault(number, kind, victims, hold_s, amount) for number, (kind, victims, hold_s, amount) in enumerate(faults, 1)
    ]


@pytest.mark.timeout(900)
def test_a_line_that_suffers_every_fault_keeps_every_promise(tmp_path: Path, resources: ExitStack) -> None:
    state_dir, filler = tmp_path / "state", None
    if mount_obstacle() is None:
        disk = resources.enter_context(SmallTmpfs(tmp_path / "disk", 64))
        state_dir, filler = disk.folder / "state", Filler(disk.folder)
    told: list[str] = []
    with FaultedLine(tmp_path, state_dir, filler=filler, **ROOMY) as line:
        outcome = run_campaign(line, every_fault(), told.append)
    assert not outcome.judgement.broken, "\n".join([outcome.judgement.told(), *told])
    figures = outcome.judgement.figures
    assert figures["OK"] > 0
    assert figures["NG"] > 0
    assert figures["rows: inspection"] >= figures["messages"] - 5
    assert figures["pictures read"] > 0
    assert figures["rows replayed meanwhile"] > 0
    struck = {episode.fault.kind: episode.struck for episode in outcome.episodes}
    assert struck[Kind.SLOW_DISK]
    assert struck[Kind.DISK_ERROR]


@pytest.mark.timeout(900)
@pytest.mark.skipif(mount_obstacle() is not None, reason=mount_obstacle() or "")
def test_a_power_cut_loses_nothing_that_was_delivered_and_no_id_comes_again(
    tmp_path: Path, resources: ExitStack
) -> None:
    disk = resources.enter_context(LoopDisk(tmp_path / "disk.img", tmp_path / "disk", 64))
    with FaultedLine(tmp_path, disk.folder / "state", **ROOMY) as line:
        outcome = run_power_cuts(line, disk, 1, 1, tell=lambda text: None)
    assert not outcome.judgement.broken, outcome.judgement.told()
    assert outcome.judgement.figures["rows: unrecorded"] >= 1
    assert outcome.judgement.figures["pictures read"] > 0


@pytest.mark.timeout(900)
def test_nonsense_at_every_socket_changes_nothing(tmp_path: Path) -> None:
    with FaultedLine(tmp_path, tmp_path / "state", **ROOMY) as line:
        outcome = fuzz_appliance(line, 4000, seed=1)
    assert {"publisher.sock", "ring.cam0.sock", "notify.sock", "zeromq"} <= set(outcome.sent)
    assert not outcome.judgement.broken, "\n".join([outcome.judgement.told(), str(outcome.sent), *line.said[-20:]])
