"""What the manifest says of a picture: everything that is known of where it comes from, under stable names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.clock import rfc3339, wall_from_monotonic
from appliance.learning.capture.case import Case, Frame
from appliance.messages import TriggerFlag

SCHEMA_VERSION = 1
_OF_PART = ("line", "station", "ledger_epoch", "inspection_id", "part_id", "lot", "job_id", "recipe", "model")
_OF_DETECTION = ("view", "class_name", "score", "box_px")
_OF_SHADOW = ("view", "model", "verdict", "reason")


def describe(case: Case, frame: Frame, why: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Describe a picture, but for its file: name and hashes are the folder's to add.

    What nobody knows is null: all that a result tells, where none came.
    """
    trigger = frame.trigger
    record = case.record or {}
    return {
        "schema_version": SCHEMA_VERSION,
        "why": list(why),
        "camera": frame.camera,
        "trigger_id": trigger.trigger_id,
        "stream_epoch": trigger.stream_epoch,
        "frame_id": trigger.frame_id or None,
        **{name: record.get(name) for name in _OF_PART},
        "views": [_view(view) for view in case.views],
        "captured_at": wall_from_monotonic(trigger.exposed_ns),
        "device_timestamp_ns": trigger.device_timestamp_ns or None,
        "clock_source": trigger.clock_source.word,
        "encoder_count": trigger.encoder_count if TriggerFlag.COUNTED in trigger.flags else None,
        **{name: frame.exposure.get(name) for name in ("exposure_time_us", "gain")},
        "width": frame.pixels.shape[1],
        "height": frame.pixels.shape[0],
        "pixel_format": frame.pixel_format,
        "evidence": dict(frame.evidence),
        "verdict": case.verdict,
        "inspection_verdict": record.get("verdict"),
        "reason": record.get("reason"),
        "defects": [_picked(row, _OF_DETECTION) for row in case.detections("defects")],
        "near_misses": [_picked(row, _OF_DETECTION) for row in case.detections("near_misses")],
        "shadow": [_shadow(row) for row in case.shadows],
        "is_free_running": TriggerFlag.FREE_RUNNING in trigger.flags,
        "is_simulated": TriggerFlag.SIMULATED in trigger.flags,
        "taken_at": rfc3339(time.time_ns()),
    }


def _view(view: Mapping[str, Any]) -> dict[str, Any]:
    finding = view["finding"]
    told = {name: finding[name] for name in ("verdict", "reason", "detail")}
    return {"view": view["view"], "region_px": view["region_px"], **told}


def _shadow(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {kind: [_picked(each, _OF_DETECTION) for each in row[kind]] for kind in ("defects", "near_misses")}
    return _picked(row, _OF_SHADOW) | found


def _picked(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}
