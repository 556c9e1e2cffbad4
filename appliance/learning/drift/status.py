"""What `appliance status`, metrics and `appliance drift` tell: alarms from their file, the present from the watcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from appliance.config import ApplianceConfig
from appliance.learning.drift.alarms import read_alarms

PRESENT_FILE = "drift.json"
"""In the runtime directory: what the watcher saw last in each stream."""
_COMPARED = ("signal", "reference", "measure", "value", "limit", "current", "expected", "samples", "trouble")


def drift_dir(state_dir: Path) -> Path:
    """Where what must outlast a restart is."""
    return state_dir / "drift"


def drift_status(config: ApplianceConfig, said: dict[str, Any] | None) -> dict[str, Any]:
    """Describe drift for the status document.

    Args:
        said: The watcher's status file; None while it is down.
    """
    streams = read_present(config.runtime_dir) if said is not None else []
    return {
        "is_enabled": config.drift.enabled,
        "is_watching": said is not None,
        "not_ready_on_alarm": config.drift.not_ready_on_alarm,
        "rows_behind": said["rows_behind"] if said is not None else None,
        "trouble": said["trouble"] if said is not None else None,
        "alarms": [_shown(alarm, config) for alarm in read_alarms(drift_dir(config.state_dir))],
        "comparisons": [
            {"recipe": stream["recipe"]["name"], "camera": stream["camera"], "view": stream["view"]}
            | {key: one[key] for key in _COMPARED}
            for stream in streams
            for one in stream["comparisons"]
        ],
    }


def read_present(runtime_dir: Path) -> list[dict[str, Any]]:
    """Read what the watcher saw last, stream by stream; nothing while it saw none."""
    try:
        streams: list[dict[str, Any]] = json.loads((runtime_dir / PRESENT_FILE).read_bytes())["streams"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return streams


def _shown(alarm: dict[str, Any], config: ApplianceConfig) -> dict[str, Any]:
    """Give an alarm as people and scripts see it: the recipe by its name; are the pictures still there?"""
    images = config.state_dir / "images"
    pictures = {
        kind: [one | {"is_there": one["path"] is not None and (images / one["path"]).is_file()} for one in alarm[kind]]
        for kind in ("deviating", "typical")
    }
    return alarm | {"recipe": alarm["recipe"]["name"], "image_dir": str(images)} | pictures
