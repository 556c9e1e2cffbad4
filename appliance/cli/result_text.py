"""A result as a row of a table, and as lines for people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

COLUMNS = ("seq", "time", "verdict", "why", "part", "camera/trigger")
_SIMPLE = (
    "kind", "verdict", "reason", "sent_verdict", "part_id", "lot", "job_id", "lane", "inspection_id", "verdict_seq",
    "ledger_epoch", "captured_at", "published_at", "deadline_at", "recorded_at", "event", "by", "effective_at",
    "detail", "is_simulated", "is_partial", "is_recovered",
)  # fmt: skip
_MOST_VIEWS = 3


def result_row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Write a result as cells under COLUMNS; times are local."""
    return (
        str(record["seq"]),
        local_time(record.get("captured_at") or record.get("recorded_at")),
        record.get("verdict") or "",
        _why(record),
        record.get("part_id") or "",
        _triggers(record),
    )


def result_lines(record: Mapping[str, Any]) -> list[str]:
    """Write all that people ask for, one thing a line; what is unknown is left out."""
    lines = [f"result {record['seq']} of journal {record['epoch']}, {record['line']}/{record['station']}"]
    lines += [f"{key.replace('_', ' ')}: {record[key]}" for key in _SIMPLE if record.get(key) not in (None, False)]
    if record.get("first_trigger_id") is not None:
        lines.append(f"triggers: {_triggers(record)}")
    for view in record.get("views", ()):
        lines.append(
            f"view {view['camera']}/{view.get('view')}: trigger {view['trigger_id']}, frame {view.get('frame_id')}"
        )
    for finding in record.get("finding") or ():
        lines.append(f"finding {finding['camera']}/{finding['view']}: {_words(finding, 'verdict', 'reason', 'detail')}")
    for defect in record.get("defects", ()):
        place = f"{defect.get('camera')}/{defect.get('view')}"
        lines.append(f"defect {place}: {defect['class_name']} {defect['score']:.2f} at {defect.get('box_px')} px")
    for name in ("deviating", "typical"):
        lines += [
            f"{name} picture: {one['path'] or 'not stored'} (result {one['seq']})" for one in record.get(name, ())
        ]
    for key in ("old_model", "model", "recipe", "stage_ms"):
        if isinstance(record.get(key), Mapping):
            lines.append(
                f"{key.replace('_', ' ')}: {', '.join(f'{name} {value}' for name, value in record[key].items())}"
            )
    return lines


def _why(record: Mapping[str, Any]) -> str:
    if record["kind"] in ("unrecorded", "lost_range"):
        return str(record["kind"])
    if record["kind"] == "model_event":
        old, new = ((record[key] or {}).get("name", "-") for key in ("old_model", "model"))
        return f"model {record['event'].replace('_', ' ')}: {old} to {new}, by {record['by']}"
    if record["kind"] == "drift_event":
        return f"drift {record['event']}: {record['detail']}"
    aside = {"late_finding": "late finding: ", "shadow_finding": "shadow: "}.get(record["kind"], "")
    return aside + (record.get("reason") or _defects(record))


def _defects(record: Mapping[str, Any]) -> str:
    """Name the classes once each, with their number and highest score."""
    scores: dict[str, list[float]] = {}
    for defect in record.get("defects") or ():
        scores.setdefault(defect["class_name"], []).append(defect["score"])
    return ", ".join(
        f"{name} {max(of_class):.2f}" if len(of_class) == 1 else f"{len(of_class)} {name} to {max(of_class):.2f}"
        for name, of_class in scores.items()
    )


def _triggers(record: Mapping[str, Any]) -> str:
    if record.get("first_trigger_id") is not None:
        return f"{record['camera']}/{record['first_trigger_id']}-{record['last_trigger_id']}"
    if record["kind"] == "model_event":
        return ""
    if record["kind"] == "drift_event":
        return str(record["camera"])
    views = list(dict.fromkeys((view["camera"], view["trigger_id"]) for view in record.get("views") or [record]))
    named = [f"{camera}/{trigger_id}" for camera, trigger_id in views[:_MOST_VIEWS]]
    return " ".join(named) + (f" +{len(views) - _MOST_VIEWS}" if len(views) > _MOST_VIEWS else "")


def _words(finding: Mapping[str, Any], *keys: str) -> str:
    return " ".join(str(finding[key]) for key in keys if finding.get(key))


def local_time(text: str | None) -> str:
    """Write a record's time as people here read it; nothing for None."""
    if text is None:
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
