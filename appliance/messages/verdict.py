"""The verdict as it goes on the wire to line controllers: compact JSON, stable names."""

import json
from typing import Any

from appliance.clock import NS_PER_MS, wall_from_monotonic
from appliance.messages.finding import Defect
from appliance.messages.outcome import Outcome, View
from appliance.messages.reason import ClockSource
from appliance.messages.trigger import TriggerFlag

SCHEMA_VERSION = 1
_ENCODER = json.JSONEncoder(separators=(",", ":"))  # json.dumps would make one for every message


def verdict_topic(line: str, station: str, *, is_simulated: bool) -> str:
    """Name the topic; simulated results never share a production topic."""
    topic = f"verdict.{line}.{station}"
    return f"sim.{topic}" if is_simulated else topic


def encode(message: dict[str, Any]) -> bytes:
    """Write a message as UTF-8 JSON without spaces."""
    return _ENCODER.encode(message).encode()


def verdict_message(outcome: Outcome) -> dict[str, Any]:
    """Write a verdict; times are RFC 3339 UTC with microseconds."""
    trigger = outcome.views[0].trigger
    return {
        "schema_version": SCHEMA_VERSION,
        "line": outcome.line,
        "station": outcome.station,
        "ledger_epoch": outcome.ledger_epoch,
        "verdict_seq": outcome.verdict_seq,
        "inspection_id": outcome.inspection_id,
        "part_id": outcome.part.part_id,
        "lot": outcome.part.lot,
        "job_id": outcome.part.job_id,
        "lane": outcome.part.lane,
        "views": [_view(view) for view in outcome.views],
        "verdict": outcome.verdict.name,
        "reason": outcome.reason.word,
        "defects": [_defect(defect) for view in outcome.views if view.finding for defect in view.finding.defects],
        "model": outcome.model,
        "recipe": outcome.recipe,
        "captured_at": wall_from_monotonic(trigger.exposed_ns),
        "device_timestamp_ns": trigger.device_timestamp_ns or None,
        "clock": {
            "source": trigger.clock_source.word,
            "synced": trigger.clock_source is not ClockSource.RECEIPT,
            "uncertainty_us": trigger.clock_uncertainty_us,
        },
        "published_at": wall_from_monotonic(outcome.decided_ns),
        "deadline_at": wall_from_monotonic(outcome.deadline_ns),
        "stage_ms": _stage_ms(outcome.views[0], outcome.decided_ns),
        "is_simulated": outcome.is_simulated,
    }


def _stage_ms(view: View, decided_ns: int) -> dict[str, float]:
    trigger = view.trigger
    stages = {"receive": trigger.received_after_us / 1000}
    if view.finding is not None:
        stages.update(view.finding.stage_ms)
    stages["total"] = round((decided_ns - trigger.exposed_ns) / NS_PER_MS, 3)
    return stages


def _view(view: View) -> dict[str, Any]:
    trigger, finding = view.trigger, view.finding
    region = finding.region_px if finding else None
    if region is None and trigger.width:
        region = (0, 0, trigger.width, trigger.height)
    return {
        "camera": view.camera,
        "view": view.name,
        "trigger_id": trigger.trigger_id,
        "stream_epoch": trigger.stream_epoch,
        "frame_id": trigger.frame_id or None,
        "region_px": region,
        "encoder_count": trigger.encoder_count if TriggerFlag.COUNTED in trigger.flags else None,
    }


def _defect(defect: Defect) -> dict[str, Any]:
    return {"class_name": defect.class_name, "score": defect.score, "box_px": defect.box_px}
