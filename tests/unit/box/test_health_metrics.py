"""A status document becomes metrics; what nobody knows becomes none."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.box.health_metrics import metrics_text
from appliance.box.status import appliance_status
from appliance.config import ApplianceConfig

UNITS = ("_total", "_bytes", "_seconds", "_seq", "_rows", "_slots")
WITHOUT_UNIT = {
    *("appliance_info", "appliance_line_ready", "appliance_line_error_id", "appliance_invariant_holds"),
    *("appliance_open_triggers", "appliance_camera_capturing", "appliance_consumer_required"),
    *("appliance_images_waiting", "appliance_disk_level", "appliance_disk_alarm", "appliance_process_up"),
}
RECORDER = {
    "result_lane": {
        "head_seq": 70,
        "oldest_seq": 3,
        "consumers": {"mes": {"acknowledged": 66, "lag": 4, "is_required": True}},
    },
    "journal": {
        "commit_ms": {"p50": 2.0, "p99": 8.5},
        "commits": 12,
        "rows": 68,
        "rows_waiting": 2,
        "rows_refused": 0,
    },
    "intake": {"spool_bytes": 512, "torn": 1, "unreadable": 0, "recovered": 5},
    "images": {"stored": 9, "missing": {"queue_full": 2}, "waiting": 1},
    "disk": {"level": "evict", "free_mb": 900, "freed": {"ok_images": 64}, "alarm": None},
}


@pytest.fixture
def config(tmp_path: Path) -> ApplianceConfig:
    return ApplianceConfig.model_validate(
        {
            "line": "l",
            "station": "s",
            "recipe": tmp_path / "recipe.toml",
            "models_dir": tmp_path,
            "runtime_dir": tmp_path,
            "cameras": [{"name": "cam0", "source": {"kind": "folder", "images": tmp_path}}],
        }
    )


def say(folder: Path, process: str, **content: Any) -> None:
    said = {"pid": os.getpid(), "at_monotonic_ns": time.monotonic_ns(), "up_s": 1.5, **content}
    (folder / f"status.{process}.json").write_text(json.dumps(said))


def metrics(status: dict[str, Any]) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics_text(status).decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


@pytest.fixture
def status(config: ApplianceConfig, tmp_path: Path) -> dict[str, Any]:
    """What real status files become, all processes up."""
    say(tmp_path, "grab-cam0", state="capturing", lost=2, ring={"slots": 8, "leased": 1, "dropped": 3})
    line = {"ready": False, "not_ready_because": ["no"], "error_id": 2}
    say(tmp_path, "publish", cameras={"cam0": {"latency_ms": {"p50": 12.0, "p99": 30.5}}}, verdict_seq=71, line=line)
    say(tmp_path, "inspect")
    say(tmp_path, "supervisor", restarts={"inspect": 3})
    say(tmp_path, "record", **RECORDER)
    return appliance_status(config)


def test_every_figure_is_there_in_base_units(status: dict[str, Any]) -> None:
    status["cameras"]["cam0"] |= {"triggers": 10, "ok": 6, "ng": 1, "unknown": 2, "open": 1}
    status["cameras"]["cam0"]["unknown_by_reason"] = {"late": 2}
    found = metrics(status)
    expected = {
        ("appliance_triggers_total", "cam0"): 10,
        ("appliance_verdicts_total", "cam0", "OK"): 6,
        ("appliance_verdicts_total", "cam0", "NG"): 1,
        ("appliance_verdicts_total", "cam0", "UNKNOWN"): 2,
        ("appliance_unknown_total", "cam0", "late"): 2,
        ("appliance_open_triggers", "cam0"): 1,
        ("appliance_verdict_latency_seconds", "cam0", "0.99"): 0.0305,
        ("appliance_camera_capturing", "cam0"): 1,
        ("appliance_frames_lost_total", "cam0"): 2,
        ("appliance_ring_leased_slots", "cam0"): 1,
        ("appliance_ring_dropped_total", "cam0"): 3,
        ("appliance_line_ready",): 0,
        ("appliance_line_error_id",): 2,
        ("appliance_verdict_seq",): 71,
        ("appliance_journal_head_seq",): 70,
        ("appliance_journal_oldest_seq",): 3,
        ("appliance_journal_commit_seconds", "0.99"): 0.0085,
        ("appliance_consumer_lag_rows", "mes"): 4,
        ("appliance_consumer_required", "mes"): 1,
        ("appliance_spool_bytes",): 512,
        ("appliance_records_recovered_total",): 5,
        ("appliance_images_stored_total",): 9,
        ("appliance_images_missing_total", "queue_full"): 2,
        ("appliance_disk_free_bytes",): 900e6,
        ("appliance_disk_level", "ok"): 0,
        ("appliance_disk_level", "evicting"): 1,
        ("appliance_disk_freed_total", "ok_images"): 64,
        ("appliance_disk_alarm",): 0,
        ("appliance_process_up", "inspect"): 1,
        ("appliance_process_restarts_total", "inspect"): 3,
        ("appliance_process_uptime_seconds", "publish"): 1.5,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_names_end_in_their_unit(status: dict[str, Any]) -> None:
    for name, *_ in metrics(status):
        assert name.endswith(UNITS) or name in WITHOUT_UNIT


def test_what_is_down_leaves_gaps_not_zeros(config: ApplianceConfig, tmp_path: Path) -> None:
    say(tmp_path, "inspect")
    found = metrics(appliance_status(config))
    assert found["appliance_process_up", "record"] == found["appliance_camera_capturing", "cam0"] == 0
    assert found["appliance_triggers_total", "cam0"] == 0  # the tally files know
    for name in (
        "line_ready",
        "journal_head_seq",
        "spool_bytes",
        "disk_level",
        "disk_free_bytes",
        "verdict_latency_seconds",
    ):
        assert not [key for key in found if key[0] == f"appliance_{name}"]
