"""How the appliance is: the tally files' counts and what each process last said of itself, in one document.

Counts come from the files alone, so they are right whoever is down. The rest comes from `status.<process>.json`, which
each process refreshes twice a second; what a dead process said is not repeated.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from appliance.box.process_table import process_table
from appliance.box.process_usage import process_usage
from appliance.box.supervisor import STATUS_NAME
from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig, CameraConfig, load_recipe
from appliance.errors import NotRunning
from appliance.learning.drift.status import drift_status
from appliance.rollout import read_shadows
from appliance.tally import TallyCounts, count

FRESH_S = 3.0
"""A status file older than this belongs to a process that hangs or is gone."""
OVERDUE_GRACE_S = 1.0
"""A trigger that is open for so long past its deadline was forgotten: an invariant is broken."""
_RESULT_LANE = ("endpoint", "replay_endpoint", "epoch", "head_seq", "oldest_seq", "consumers")
_RECORDER = ("journal", "intake", "images", "disk")
_NO_RING = {"slots": 0, "leased": 0, "dropped": 0}
_NO_LATENCY = {"p50": None, "p99": None}


def appliance_status(config: ApplianceConfig) -> dict[str, Any]:
    """Describe the running appliance; the shape is `appliance status --json`'s.

    Raises:
        NotRunning: None of its processes is alive.
        TallyError: A tally file is foreign.
    """
    runtime_dir = config.runtime_dir
    table = [spec for spec in process_table(config, Path("-"), os.getpid()) if spec.is_needed]
    names = [spec.name for spec in table]
    said = {name: read_status(runtime_dir, name) for name in names}
    if not any(said.values()):
        raise NotRunning(f"no appliance runs in {runtime_dir}; start one: appliance run --config FILE")
    counts = {camera.name: count(runtime_dir, camera.name) for camera in config.cameras}
    publisher = said["publish"] or {}
    recorder = said["record"] or {}
    results = recorder.get("result_lane", {})
    return {
        "line": config.line,
        "station": config.station,
        "invariant_holds": all(
            tally.invariant_holds and not _is_overdue(tally, config, said[f"grab-{camera}"], said["publish"])
            for camera, tally in counts.items()
        ),
        "verdict_lane": {key: publisher.get(key) for key in ("endpoint", "epoch", "verdict_seq")},
        "line_state": publisher.get("line"),
        "result_lane": {key: results.get(key) for key in _RESULT_LANE},
        "recorder": {key: recorder.get(key) for key in _RECORDER},
        "cameras": {camera.name: _camera(camera, counts[camera.name], said) for camera in config.cameras},
        "models": _models(config, publisher),
        "drift": drift_status(config, said.get("drift")),
        "processes": _processes(runtime_dir, said, {spec.name for spec in table if spec.is_optional}),
    }


def read_status(runtime_dir: Path, name: str) -> dict[str, Any] | None:
    """Read what a process last said of itself; None when it is down: never started, silent for 3 s, or dead."""
    try:
        content: dict[str, Any] = json.loads((runtime_dir / f"status.{name}.json").read_text(encoding="utf-8"))
        age_ns = time.monotonic_ns() - int(content["at_monotonic_ns"])
        is_alive = process_usage(int(content["pid"])) is not None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if is_alive and 0 <= age_ns < FRESH_S * NS_PER_S else None


def _camera(camera: CameraConfig, tally: TallyCounts, said: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    grabber = said[f"grab-{camera.name}"]
    inspected = _of_camera(said["inspect"], camera.name)
    published = _of_camera(said["publish"], camera.name)
    capture = grabber or {}
    copies = [part["copies_per_frame"] for part in (capture, inspected) if part.get("copies_per_frame") is not None]
    return {
        "state": capture.get("state", "starting") if grabber else "down",
        "triggers": tally.triggers,
        "ok": tally.ok,
        "ng": tally.ng,
        "unknown": tally.unknown,
        "open": tally.open,
        "unknown_by_reason": tally.unknown_by_reason,
        "incomplete": capture.get("incomplete", 0),
        "lost": capture.get("lost", 0),
        "missed": capture.get("missed", 0),
        "unannounced": capture.get("unannounced", 0),
        "evidence_failures": inspected.get("evidence_failures", {}),
        "announce": capture.get("announce"),
        "copies_per_frame": sum(copies) if copies else None,
        "ring": {**_NO_RING, **capture.get("ring", {})},
        "fps": capture.get("fps", 0.0),
        "latency_ms": published.get("latency_ms", _NO_LATENCY),
    }


def _is_overdue(tally: TallyCounts, config: ApplianceConfig, *writers: dict[str, Any] | None) -> bool:
    """Whether a trigger is open past its deadline although grabber and publisher run, and have run for that long."""
    if tally.oldest_open_exposed_ns is None or not all(writers):
        return False
    deadlines_ms = [load_recipe(path).deadline_ms for path in (config.recipe, *config.recipes)]
    allowed_s = max(deadlines_ms) / 1000 + OVERDUE_GRACE_S
    has_settled = all(writer["up_s"] > allowed_s for writer in writers if writer)
    return has_settled and time.monotonic_ns() - tally.oldest_open_exposed_ns > allowed_s * NS_PER_S


def _of_camera(said: dict[str, Any] | None, camera: str) -> dict[str, Any]:
    content: dict[str, Any] = (said or {}).get("cameras", {}).get(camera, {})
    return content


def _models(config: ApplianceConfig, publisher: dict[str, Any]) -> dict[str, Any]:
    """By recipe: the model in use, since when, what failed; and the model that only watches."""
    told: dict[str, Any] = publisher.get("models", {})
    shadows = read_shadows(config.state_dir)
    return {
        name: {**content, "shadow": shadows[name].model.name if name in shadows else None}
        for name, content in told.items()
    }


def _processes(runtime_dir: Path, said: dict[str, dict[str, Any] | None], optional: set[str]) -> dict[str, Any]:
    supervisor = read_status(runtime_dir, STATUS_NAME.split(".")[1]) or {}
    restarts: dict[str, int] = supervisor.get("restarts", {})
    processes: dict[str, Any] = {}
    for name, content in said.items():
        usage = process_usage(content["pid"]) if content else None
        processes[name] = {
            "up": content is not None,
            "is_optional": name in optional,
            "pid": content["pid"] if content else None,
            "up_s": content.get("up_s") if content else None,
            "restarts": restarts.get(name),
            "rss_mb": usage.rss_mb if usage else None,
            "cpu_s": usage.cpu_s if usage else None,
            "cpu_percent": usage.cpu_percent if usage else None,
        }
    return processes
