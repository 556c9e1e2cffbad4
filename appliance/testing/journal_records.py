"""Records to journal, as small as the journal allows."""

from typing import Any

LEDGER_EPOCH = "00112233aabbccdd"


def inspection(number: int, *, camera: str = "cam0", verdict: str = "OK", **more: Any) -> dict[str, Any]:
    """An inspection whose id is also its trigger's."""
    return {
        "schema_version": 1,
        "kind": "inspection",
        "line": "line1",
        "station": "station1",
        "ledger_epoch": LEDGER_EPOCH,
        "inspection_id": number,
        "part_id": None,
        "views": [{"camera": camera, "view": "whole", "trigger_id": number}],
        "verdict": verdict,
        "reason": None,
        "defects": [],
        "captured_at": "2026-11-22T21:00:00.000000Z",
        "image": None,
        **more,
    }


def unrecorded(first_id: int, last_id: int, *, kind: str = "unrecorded") -> dict[str, Any]:
    """A range of triggers of which nothing is left."""
    return {
        "schema_version": 1,
        "kind": kind,
        "ledger_epoch": LEDGER_EPOCH,
        "camera": "cam0",
        "first_trigger_id": first_id,
        "last_trigger_id": last_id,
        "verdict": "UNKNOWN",
        "reason": "unrecorded",
        "recorded_at": "2026-11-22T21:00:00.000000Z",
    }
