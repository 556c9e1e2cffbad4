import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from appliance.config import ApplianceConfig
from appliance.messages import FrameGeometry
from appliance.testing.inspector_rig import PATIENCE_S, Ear, FilledRing, inspector_config
from appliance.testing.tiny_detector import write_tiny_bundle

GEOMETRY = FrameGeometry(64, 48, "Mono8")

START = """
import sys
from appliance.config import ApplianceConfig
from appliance.inspection.inspector import run_inspector
from appliance.stage import Stage
config = ApplianceConfig.model_validate_json(sys.argv[1])
run_inspector(config, Stage("inspect", config.runtime_dir))
"""


@pytest.fixture
def config(tmp_path: Path) -> ApplianceConfig:
    write_tiny_bundle(tmp_path / "tiny", width=64, height=48)
    (tmp_path / "run").mkdir()
    return inspector_config(tmp_path, ["top"], model="tiny", max_batch=4, max_wait_ms=2000)


@contextmanager
def inspector_process(config: ApplianceConfig) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", START, config.model_dump_json()])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Surroundings:
    """Ring and publisher of the inspector under test."""

    def __init__(self, config: ApplianceConfig) -> None:
        self.ring = FilledRing(config.runtime_dir, "top", GEOMETRY)
        self.ear = Ear(config.runtime_dir)

    def until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end
            self.ring.serve()
            self.ear.serve()
            time.sleep(0.002)

    def offer(self, trigger_id: int) -> None:
        self.ring.offer(np.random.default_rng(trigger_id).integers(30, 130, (48, 64), np.uint8), trigger_id)

    def close(self) -> None:
        self.ring.close()
        self.ear.close()


@pytest.fixture
def around(config: ApplianceConfig) -> Iterator[Surroundings]:
    surroundings = Surroundings(config)
    yield surroundings
    surroundings.close()


def test_stop_signal_finishes_held_frames_and_leaves_nothing(config: ApplianceConfig, around: Surroundings) -> None:
    with inspector_process(config) as process:
        around.until(lambda: around.ring.has_inspector and bool(around.ear.hellos))
        for trigger_id in (1, 2, 3):
            around.offer(trigger_id)
        process.send_signal(signal.SIGTERM)
        around.until(lambda: process.poll() is not None)
        assert process.returncode == 0
        around.until(lambda: len(around.ear.findings) == 3 and around.ring.leased == 0)
        assert not list(config.runtime_dir.glob("status.*"))


def test_killed_inspector_leaks_no_slot_and_its_successor_works(config: ApplianceConfig, around: Surroundings) -> None:
    for life in range(3):
        with inspector_process(config) as process:
            around.until(lambda: around.ring.has_inspector)
            around.offer(10 * life + 1)
            around.until(lambda: around.ring.leased == 1)
            process.kill()
            process.wait()
            around.until(lambda: around.ring.leased == 0 and not around.ring.has_inspector)
    with inspector_process(config):
        around.until(lambda: around.ring.has_inspector and len(around.ear.hellos) >= 1)
        for trigger_id in range(101, 105):
            around.offer(trigger_id)
        around.until(lambda: {finding.trigger_id for finding in around.ear.findings} >= {101, 102, 103, 104})
