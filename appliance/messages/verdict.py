"""The verdict as it goes on the wire to line controllers: compact JSON, stable names."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.clock import NS_PER_MS, wall_from_monotonic
from appliance.messages.finding import Defect, Finding
from appliance.messages.reason import ClockSource, Reason, VerdictWord
from appliance.messages.trigger import Trigger, TriggerFlag

SCHEMA_VERSION = 1
DEFAULT_VIEW = "whole"
"""The one view of a part when the recipe names none: the whole frame."""


def verdict_topic(line: str, station: str, *, is_simulated: bool) -> str:
    """Name the topic; simulated results never share a production topic."""
    topic = f"verdict.{line}.{station}"
    return f"sim.{topic}" if is_simulated else topic


@dataclass(frozen=True)
class View:
    """One view of a part: the trigger that took it, and what was found in it, if something was found in time."""

    camera: str
    trigger: Trigger
    finding: Finding | None = None
    name: str = DEFAULT_VIEW


def verdict_message(
    *,
    line: str,
    station: str,
    ledger_epoch: str,
    verdict_seq: int,
    inspection_id: int,
    views: Sequence[View],
    verdict: VerdictWord,
    reason: Reason,
    model: dict[str, str] | None,
    recipe: dict[str, Any],
    decided_ns: int,
    deadline_ns: int,
) -> bytes:
    """Write one verdict.

    Args:
        views: At least one; the first one's trigger gives the times.
        model: Name and sha256 of the model whose findings these are; None when no inspector was there.
        decided_ns: CLOCK_MONOTONIC at the decision; `published_at` on the wire.
        deadline_ns: CLOCK_MONOTONIC after which a receiver must discard the message.
    Returns:
        UTF-8 JSON without spaces. Times are RFC 3339 UTC with microseconds.
    """
    trigger = views[0].trigger
    message = {
        "schema_version": SCHEMA_VERSION,
        "line": line,
        "station": station,
        "ledger_epoch": ledger_epoch,
        "verdict_seq": verdict_seq,
        "inspection_id": inspection_id,
        "part_id": None,
        "views": [_view(view) for view in views],
        "verdict": verdict.name,
        "reason": reason.word,
        "defects": [_defect(defect) for view in views if view.finding for defect in view.finding.defects],
        "model": model,
        "recipe": recipe,
        "captured_at": wall_from_monotonic(trigger.exposed_ns),
        "device_timestamp_ns": trigger.device_timestamp_ns or None,
        "clock": {
            "source": trigger.clock_source.word,
            "synced": trigger.clock_source is not ClockSource.RECEIPT,
            "uncertainty_us": trigger.clock_uncertainty_us,
        },
        "published_at": wall_from_monotonic(decided_ns),
        "deadline_at": wall_from_monotonic(deadline_ns),
        "stage_ms": _stage_ms(views[0], decided_ns),
        "is_simulated": TriggerFlag.SIMULATED in trigger.flags,
    }
    return json.dumps(message, separators=(",", ":")).encode()


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
