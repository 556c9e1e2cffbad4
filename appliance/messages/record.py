"""Records as the journal keeps them and the result lane sends them: one JSON object each, stable names.

kind            stands for
inspection      one inspection with its verdict
late_finding    what the inspector said of an inspection that was decided already: kept, never sent as a verdict
shadow_finding  what a model that only watches said of a part: never sent, never part of a verdict
model_event     another model judges a recipe's parts from a moment on, or the one in use has failed
drift_event     a camera's pictures or verdicts have begun, or ceased, to differ from what they should be like
unrecorded      trigger ids that may have been used and of which nothing is left (power loss): UNKNOWN, nothing was sent
lost_range      trigger ids whose records were lost (disk full for too long): verdicts may have been sent
"""

from collections.abc import Mapping
from typing import Any, Literal

from appliance.messages.finding import Defect, Finding
from appliance.messages.outcome import Outcome, View
from appliance.messages.reason import Reason, VerdictWord
from appliance.messages.verdict import SCHEMA_VERSION


def result_topic(line: str, station: str, *, is_simulated: bool) -> str:
    """Name the topic; simulated results never share a production topic."""
    topic = f"result.{line}.{station}"
    return f"sim.{topic}" if is_simulated else topic


def inspection_record(
    outcome: Outcome, message: Mapping[str, Any], *, was_sent: bool, is_recovered: bool = False
) -> dict[str, Any]:
    """Complete a verdict message to the record of its inspection; `image` is the recorder's to fill in.

    Args:
        message: `verdict_message(outcome)`.
        was_sent: Whether it was handed to the wire (of a recovered one: whether it may have been).
        is_recovered: Built from the tally files because the publisher was killed before it could tell more.
    """
    return {
        **message,
        "kind": "inspection",
        "finding": [_finding(view) for view in outcome.views],
        "sent_verdict": outcome.verdict.name if was_sent else None,
        "defects": _defects(outcome, "defects"),
        "near_misses": _defects(outcome, "near_misses"),
        "calibration": None,
        "image": None,
        "is_partial": any(view.finding is None for view in outcome.views),
        "is_recovered": is_recovered,
        "attempt": 1,
    }


def late_finding_record(
    finding: Finding, *, line: str, station: str, ledger_epoch: str, is_simulated: bool, recorded_at: str
) -> dict[str, Any]:
    """Record what came after its inspection's verdict."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "late_finding",
        "line": line,
        "station": station,
        "ledger_epoch": ledger_epoch,
        "camera": finding.camera,
        "view": finding.view,
        "trigger_id": finding.trigger_id,
        "verdict": finding.verdict.name,
        "reason": finding.reason.word,
        "detail": finding.detail,
        "defects": [_defect(finding, defect) for defect in finding.defects],
        "near_misses": [_defect(finding, defect) for defect in finding.near_misses],
        "stage_ms": finding.stage_ms,
        "sent_verdict": None,
        "recorded_at": recorded_at,
        "is_simulated": is_simulated,
    }


def shadow_finding_record(
    finding: Finding,
    *,
    line: str,
    station: str,
    ledger_epoch: str,
    recipe: Mapping[str, Any],
    is_simulated: bool,
    recorded_at: str,
) -> dict[str, Any]:
    """Record what a model that only watches said of a view; `recipe` gives the rules it was judged by."""
    assert finding.model is not None, "a shadow is a model"
    late = late_finding_record(
        finding,
        line=line,
        station=station,
        ledger_epoch=ledger_epoch,
        is_simulated=is_simulated,
        recorded_at=recorded_at,
    )
    return {**late, "kind": "shadow_finding", "model": finding.model.reference, "recipe": dict(recipe)}


def model_event_record(
    *,
    line: str,
    station: str,
    ledger_epoch: str,
    event: str,
    event_id: int,
    recipe: Mapping[str, Any],
    old_model: Mapping[str, str] | None,
    model: Mapping[str, str] | None,
    by: str,
    detail: str,
    effective_at: str,
    recorded_at: str,
    is_simulated: bool,
) -> dict[str, Any]:
    """Record what happened to the model in use.

    Args:
        event_id: Unique within the ledger epoch, together with recipe and event.
        effective_at: Parts whose first trigger was exposed from then on are judged with `model`.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "model_event",
        "line": line,
        "station": station,
        "ledger_epoch": ledger_epoch,
        "event": event,
        "event_id": event_id,
        "recipe": dict(recipe),
        "old_model": dict(old_model) if old_model is not None else None,
        "model": dict(model) if model is not None else None,
        "by": by,
        "detail": detail,
        "effective_at": effective_at,
        "sent_verdict": None,
        "recorded_at": recorded_at,
        "is_simulated": is_simulated,
    }


def drift_event_record(
    *,
    line: str,
    station: str,
    ledger_epoch: str,
    event: Literal["raised", "cleared"],
    event_id: int,
    alarm: Mapping[str, Any],
    is_simulated: bool,
    recorded_at: str,
) -> dict[str, Any]:
    """Record that a drift alarm was raised or cleared.

    Args:
        event_id: Unique within the ledger epoch.
        alarm: Its keys from `camera` on, as `contracts.record.DriftEventRecord` describes them.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "drift_event",
        "line": line,
        "station": station,
        "ledger_epoch": ledger_epoch,
        "event": event,
        "event_id": event_id,
        **alarm,
        "sent_verdict": None,
        "recorded_at": recorded_at,
        "is_simulated": is_simulated,
    }


def range_record(
    kind: Literal["unrecorded", "lost_range"],
    *,
    line: str,
    station: str,
    ledger_epoch: str,
    camera: str,
    first_trigger_id: int,
    last_trigger_id: int,
    detail: str,
    is_simulated: bool,
    recorded_at: str,
) -> dict[str, Any]:
    """Record a range of one camera's trigger ids, both ends included; not every id of it needs to have been used."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "line": line,
        "station": station,
        "ledger_epoch": ledger_epoch,
        "camera": camera,
        "first_trigger_id": first_trigger_id,
        "last_trigger_id": last_trigger_id,
        "verdict": VerdictWord.UNKNOWN.name,
        "reason": Reason.UNRECORDED.word,
        "detail": detail,
        "sent_verdict": None,
        "recorded_at": recorded_at,
        "is_simulated": is_simulated,
    }


def _finding(view: View) -> dict[str, Any]:
    finding = view.finding
    return {
        "camera": view.camera,
        "view": view.name,
        "verdict": finding.verdict.name if finding else None,
        "reason": (finding.reason if finding else view.trigger.reason).word,
        "detail": finding.detail if finding else None,
        "evidence": vars(finding.evidence) if finding and finding.evidence else None,
    }


def _defects(outcome: Outcome, attribute: Literal["defects", "near_misses"]) -> list[dict[str, Any]]:
    findings = [view.finding for view in outcome.views if view.finding is not None]
    return [_defect(finding, defect) for finding in findings for defect in getattr(finding, attribute)]


def _defect(finding: Finding, defect: Defect) -> dict[str, Any]:
    return {
        "camera": finding.camera,
        "view": finding.view,
        "class_name": defect.class_name,
        "defect_code": defect.defect_code,
        "score": defect.score,
        "box_px": defect.box_px,
        "geometry": None,
        "rule_id": f"classes.{defect.class_name}",
        "measurements": [vars(measurement) for measurement in defect.measurements],
    }
