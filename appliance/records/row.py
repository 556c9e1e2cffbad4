"""A record as the journal stores it: the whole as JSON, and beside it the few things people look for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_TERMINAL = ("inspection", "unrecorded", "lost_range")
"""Kinds that close triggers; a late finding only adds to what is closed."""
_US_PER_S = 1_000_000
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)  # json.dumps would make one for every row


@dataclass(frozen=True)
class Row:
    """One journal row.

    Attributes:
        at_us: When the part was exposed, or else when the row was written: microseconds since the Unix epoch.
        inspection_id: Only for kind `inspection`: unique within its ledger epoch.
        cameras: Names of all cameras concerned, each between blanks: " cam0 cam1 ".
        exposures: (camera, first_id, last_id) of the triggers that this row closes.
        class_names: Classes of its defects.
        body: Compact JSON of the record with `epoch` and `seq`.
    """

    seq: int
    kind: str
    at_us: int
    verdict: str | None
    reason: str | None
    part_id: str | None
    cameras: str
    ledger_epoch: str | None
    inspection_id: int | None
    exposures: tuple[tuple[str, int, int], ...]
    class_names: frozenset[str]
    body: bytes

    @classmethod
    def of(cls, record: Mapping[str, Any], epoch: str, seq: int, now_us: int) -> "Row":
        """Prepare a record for the journal.

        Raises:
            ValueError: It lacks what its kind has, or is not JSON (a number that is not finite).
        """
        try:
            return cls._of(record, epoch, seq, now_us)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"record can't be journalled: {type(error).__name__}: {error}; it begins {record!r:.80}"
            ) from error

    @classmethod
    def _of(cls, record: Mapping[str, Any], epoch: str, seq: int, now_us: int) -> "Row":
        kind = record["kind"]
        body = _ENCODER.encode({**record, "epoch": epoch, "seq": seq}).encode()
        views = record.get("views") or [record]
        cameras = {str(view["camera"]) for view in views if view.get("camera")}
        return cls(
            seq=seq,
            kind=kind,
            at_us=_at_us(record, now_us),
            verdict=record.get("verdict"),
            reason=record.get("reason"),
            part_id=record.get("part_id"),
            cameras=f" {' '.join(sorted(cameras))} ",
            ledger_epoch=record.get("ledger_epoch"),
            inspection_id=record.get("inspection_id") if kind == "inspection" else None,
            exposures=_exposures(record) if kind in _TERMINAL else (),
            class_names=frozenset(defect["class_name"] for defect in record.get("defects") or ()),
            body=body,
        )


def unix_us(text: str) -> int:
    """Read an RFC 3339 time as microseconds since the Unix epoch."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * _US_PER_S + moment.microsecond


def _at_us(record: Mapping[str, Any], now_us: int) -> int:
    text = record.get("captured_at") or record.get("recorded_at")
    return unix_us(text) if text else now_us


def _exposures(record: Mapping[str, Any]) -> tuple[tuple[str, int, int], ...]:
    if record["kind"] == "inspection":
        triggers = {(view["camera"], view["trigger_id"]) for view in record["views"]}
        return tuple((camera, trigger_id, trigger_id) for camera, trigger_id in sorted(triggers))
    if record.get("camera") is None:  # rows that retention dropped: their triggers were closed before
        return ()
    return ((record["camera"], record["first_trigger_id"], record["last_trigger_id"]),)
