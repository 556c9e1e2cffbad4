"""The verdict as it goes on the wire to line controllers: compact JSON, stable names."""

import json
from typing import Any

from appliance.clock import NS_PER_MS, wall_from_monotonic
from appliance.messages.finding import Finding
from appliance.messages.reason import Reason, VerdictWord
from appliance.messages.trigger import Trigger, TriggerFlag

SCHEMA_VERSION = 1
DEFAULT_VIEW = "whole"
"""The one view of a part when the recipe names none: the whole frame."""


def verdict_topic(line: str, station: str, *, is_simulated: bool) -> str:
    """Name the topic; simulated results never share a production topic."""
    topic = f"verdict.{line}.{station}"
    return f"sim.{topic}" if is_simulated else topic


def verdict_message(
    *,
    line: str,
    station: str,
    ledger_epoch: str,
    verdict_seq: int,
    inspection_id: int,
    camera: str,
    trigger: Trigger,
    verdict: VerdictWord,
    reason: Reason,
    finding: Finding | None,
    model: dict[str, str] | None,
    recipe: dict[str, Any],
    decided_ns: int,
    deadline_ns: int,
) -> bytes:
    """Write one verdict.

    Args:
        finding: What the inspector said, when it said something in time; gives defects, region and stage times.
        decided_ns: CLOCK_MONOTONIC at the decision; `published_at` on the wire.
        deadline_ns: CLOCK_MONOTONIC after which a receiver must discard the message.
    Returns:
        UTF-8 JSON without spaces. Times are RFC 3339 UTC with microseconds.
    """
    stage_ms = {"receive": trigger.received_after_us / 1000, **(finding.stage_ms if finding else {})}
    stage_ms["total"] = round((decided_ns - trigger.exposed_ns) / NS_PER_MS, 3)
    message = {
        "schema_version": SCHEMA_VERSION,
        "line": line,
        "station": station,
        "ledger_epoch": ledger_epoch,
        "verdict_seq": verdict_seq,
        "inspection_id": inspection_id,
        "part_id": None,
        "views": [_view(camera, trigger, finding)],
        "verdict": verdict.name,
        "reason": reason.word,
        "defects": _defects(finding) if verdict is VerdictWord.NG else [],
        "model": model,
        "recipe": recipe,
        "captured_at": wall_from_monotonic(trigger.exposed_ns),
        "device_timestamp_ns": trigger.device_timestamp_ns or None,
        "clock": {
            "source": trigger.clock_source.word,
            "synced": False,
            "uncertainty_us": trigger.clock_uncertainty_us,
        },
        "published_at": wall_from_monotonic(decided_ns),
        "deadline_at": wall_from_monotonic(deadline_ns),
        "stage_ms": stage_ms,
        "is_simulated": TriggerFlag.SIMULATED in trigger.flags,
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _view(camera: str, trigger: Trigger, finding: Finding | None) -> dict[str, Any]:
    region: tuple[int, int, int, int] | None = finding.region_px if finding else None
    if region is None and trigger.width:
        region = (0, 0, trigger.width, trigger.height)
    return {
        "camera": camera,
        "view": DEFAULT_VIEW,
        "trigger_id": trigger.trigger_id,
        "stream_epoch": trigger.stream_epoch,
        "frame_id": trigger.frame_id or None,
        "region_px": region,
        "encoder_count": trigger.encoder_count if TriggerFlag.COUNTED in trigger.flags else None,
    }


def _defects(finding: Finding | None) -> list[dict[str, Any]]:
    if finding is None:
        return []
    return [
        {"class_name": defect.class_name, "score": defect.score, "box_px": defect.box_px} for defect in finding.defects
    ]
