import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.box.status import FRESH_S, appliance_status, read_status
from appliance.config import ApplianceConfig
from appliance.errors import NotRunning


@pytest.fixture
def config(tmp_path: Path) -> ApplianceConfig:
    source = {"kind": "folder", "images": tmp_path}
    return ApplianceConfig.model_validate(
        {
            "line": "l",
            "station": "s",
            "recipe": tmp_path / "recipe.toml",
            "models_dir": tmp_path,
            "runtime_dir": tmp_path,
            "cameras": [{"name": "cam0", "source": source}],
        }
    )


def say(folder: Path, process: str, **content: Any) -> None:
    said = {"pid": os.getpid(), "at_monotonic_ns": time.monotonic_ns(), "up_s": 1.0, **content}
    (folder / f"status.{process}.json").write_text(json.dumps(said))


def test_nothing_running_is_a_named_error(config: ApplianceConfig) -> None:
    with pytest.raises(NotRunning, match="no appliance runs"):
        appliance_status(config)


def test_words_of_all_processes_become_one_document(config: ApplianceConfig, tmp_path: Path) -> None:
    say(
        tmp_path,
        "grab-cam0",
        state="capturing",
        copies_per_frame=0,
        lost=2,
        fps=8.0,
        ring={"slots": 8, "leased": 1, "dropped": 0},
    )
    say(tmp_path, "inspect", cameras={"cam0": {"copies_per_frame": 1}})
    say(tmp_path, "publish", cameras={"cam0": {"latency_ms": {"p50": 1.5, "p99": 3.0}}}, endpoint="ipc://x")
    say(tmp_path, "supervisor", restarts={"inspect": 3})
    document = appliance_status(config)
    camera = document["cameras"]["cam0"]
    assert camera["ring"] == {"slots": 8, "leased": 1, "dropped": 0}
    assert (camera["copies_per_frame"], camera["lost"], camera["latency_ms"]) == (1, 2, {"p50": 1.5, "p99": 3.0})
    assert document["processes"]["inspect"]["restarts"] == 3
    assert document["processes"]["inspect"]["rss_mb"] > 1
    assert document["invariant_holds"] is True


def test_dead_process_is_down_whatever_it_last_said(config: ApplianceConfig, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    say(tmp_path, "grab-cam0", pid=dead.pid, state="capturing")
    say(tmp_path, "publish")
    document = appliance_status(config)
    assert document["cameras"]["cam0"]["state"] == "down"
    assert document["processes"]["grab-cam0"]["up"] is False


def test_silent_process_is_down(tmp_path: Path) -> None:
    say(tmp_path, "publish", at_monotonic_ns=time.monotonic_ns() - int((FRESH_S + 0.1) * 1e9))
    assert read_status(tmp_path, "publish") is None


def test_half_a_status_file_is_no_status(tmp_path: Path) -> None:
    (tmp_path / "status.publish.json").write_text('{"pid": 1')
    assert read_status(tmp_path, "publish") is None


def test_a_recorder_that_is_down_is_told_and_takes_nothing_else_down(config: ApplianceConfig, tmp_path: Path) -> None:
    say(tmp_path, "publish", endpoint="ipc://x")
    document = appliance_status(config)
    assert document["processes"]["record"]["up"] is False
    assert document["result_lane"]["epoch"] is None
    assert document["invariant_holds"] is True
    say(tmp_path, "record", result_lane={"epoch": "e", "head_seq": 7}, disk={"level": "warn"})
    document = appliance_status(config)
    assert (document["result_lane"]["head_seq"], document["recorder"]["disk"]) == (7, {"level": "warn"})
