"""`appliance dataset capture` as a process beside a line that the test drives: its end, by whatever signal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.learning.datasets.check import check
from appliance.testing.capture_stand import CaptureStand, scene
from appliance.testing.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(300)  # processes are started and waited for


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[CaptureStand]:
    with CaptureStand(tmp_path) as line:
        yield line


@pytest.fixture
def spawn(stand: CaptureStand) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts captures; whatever still runs in the end is killed."""
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "appliance", "dataset", "capture", str(stand.out), *arguments, "--json"]
            command += ["--config", str(stand.config_path)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def run_line(stand: CaptureStand, process: subprocess.Popen[bytes], pictures: int) -> None:
    """Let parts come until the folder has so many pictures."""
    end = time.monotonic() + 3 * PATIENCE_S  # at nice 19 beside other work
    number = 0
    while len(list(stand.out.glob("*.png"))) < pictures:
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < end
        stand.heartbeat()
        stand.tell(stand.expose(scene(number)))
        number += 1
        time.sleep(0.02)


def test_ctrl_c_ends_it_with_the_summary_and_kill_9_costs_the_line_nothing(stand: CaptureStand, spawn) -> None:
    first = spawn("--every", "1")
    run_line(stand, first, 2)
    assert os.getpriority(os.PRIO_PROCESS, first.pid) == 19
    first.kill()
    first.communicate()
    for number in range(5):  # the ring hears of its end meanwhile
        stand.expose(scene(100 + number))
    assert stand.ring.status()["readers"] == 1, "the inspector alone is left"
    assert stand.ring.status()["leased"] == stand.ring.status()["missed"] == stand.ring.status()["dropped"] == 0

    there = len(list(stand.out.glob("*.png")))
    second = spawn("--every", "1")
    run_line(stand, second, there + 2)
    second.send_signal(signal.SIGINT)
    summary = json.loads(second.communicate(timeout=PATIENCE_S)[0])
    assert second.returncode == ExitCode.OK
    assert summary["stopped_by"] == "interrupted"
    assert summary["taken"] >= 2
    report = check(stand.out)
    assert report.is_sound
    assert {finding.kind for finding in report.findings} <= {"unlabelled", "no_provenance"}
    assert sum(finding.kind == "no_provenance" for finding in report.findings) <= 1, "the one that was being written"


def test_without_anybody_to_press_enter_the_next_parts_are_taken(stand: CaptureStand, spawn) -> None:
    process = spawn("--trigger", "--count", "2")
    run_line(stand, process, 2)
    summary = json.loads(process.communicate(timeout=PATIENCE_S)[0])
    assert (summary["taken"], summary["by_reason"], summary["stopped_by"]) == (2, {"requested": 2}, "count")
