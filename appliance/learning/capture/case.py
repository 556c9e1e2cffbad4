"""One frame and what is said of it: the frame comes first, then its inspection's record, maybe the shadow's finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from appliance.clock import NS_PER_S
from appliance.messages import Reason, Trigger
from appliance.modelling.pixels import Pixels

Key = tuple[str, int]
"""Camera and trigger id."""
Record = Mapping[str, Any]

RESULT_PATIENCE_NS = 10 * NS_PER_S
"""A record waits for its picture and for the disk: seldom for more than a second."""
SHADOW_PATIENCE_NS = 2 * NS_PER_S
"""A shadow looks at a frame at once or never; its finding takes the same way as the record."""
_REMEMBERED = 4096


@dataclass(frozen=True, eq=False)
class Frame:
    """A copy of a camera's frame.

    Attributes:
        pixels: As a frame lease gives them; ours.
        pixel_format: PFNC name.
        exposure: `exposure_time_us` and `gain` as the grabber last told them; None: the camera has no such feature.
        evidence: `mean_grey` and `sharpness`.
        outlier: What is unusual about it; None: nothing, or nobody asked.
        is_requested: A person asked for it.
    """

    camera: str
    trigger: Trigger
    pixels: Pixels
    pixel_format: str
    exposure: Mapping[str, float | None]
    evidence: Mapping[str, float]
    outlier: Mapping[str, Any] | None = None
    is_requested: bool = False


@dataclass
class Case:
    """Everything about one trigger of one camera, as far as it has come."""

    camera: str
    trigger_id: int
    born_ns: int
    frame: Frame | None = None
    record: Record | None = None
    record_ns: int = 0
    shadows: list[Record] = field(default_factory=list)

    @cached_property
    def views(self) -> list[dict[str, Any]]:
        """The record's views of this frame, each with what was found in it under `finding`."""
        if self.record is None:
            return []
        rows = zip(self.record["views"], self.record["finding"], strict=True)
        return [{**view, "finding": finding} for view, finding in rows if self._is_ours(view)]

    def detections(self, kind: str) -> list[dict[str, Any]]:
        """Give the record's `defects` or `near_misses` in this frame."""
        names = {view["view"] for view in self.views}
        rows = self.record[kind] if self.record is not None else ()
        return [row for row in rows if row["camera"] == self.camera and row["view"] in names]

    @property
    def verdict(self) -> str | None:
        """What was found in this frame: NG if in any view, OK if in all; else the inspection's own verdict."""
        words = {view["finding"]["verdict"] for view in self.views}
        if self.record is None or None in words:
            return self.record["verdict"] if self.record is not None else None
        return next((word for word in ("NG", "UNKNOWN") if word in words), "OK")

    @property
    def was_delivered(self) -> bool:
        """Whether the camera delivered a whole frame, by the record."""
        if self.record is None or self.record["reason"] == Reason.INCOMPLETE_FRAME.word:
            return False
        return any(view["frame_id"] is not None for view in self.views)

    def _is_ours(self, view: Mapping[str, Any]) -> bool:
        return (view["camera"], view["trigger_id"]) == (self.camera, self.trigger_id)


class Cases:
    """What waits for more to come. Single-threaded."""

    def __init__(self) -> None:
        self._open: dict[Key, Case] = {}
        self._closed: dict[Key, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add_frame(self, frame: Frame, now_ns: int) -> None:
        """Take a frame in."""
        if (case := self._case((frame.camera, frame.trigger.trigger_id), now_ns)) is not None:
            case.frame = frame

    def add_record(self, record: Record, now_ns: int) -> None:
        """Take in a record of the result lane; those that tell nothing of frames are ignored."""
        if record.get("kind") == "shadow_finding":
            if (case := self._case((record["camera"], record["trigger_id"]), now_ns)) is not None:
                case.shadows.append(record)
        elif record.get("kind") == "inspection":
            for key in dict.fromkeys((view["camera"], view["trigger_id"]) for view in record["views"]):
                if (case := self._case(key, now_ns)) is not None:
                    case.record, case.record_ns = record, now_ns

    def ripe(self, now_ns: int, *, has_shadow: bool) -> Iterator[Case]:
        """Take out those of which nothing more will come, oldest first.

        Args:
            has_shadow: A shadow model looks at frames too, and its opinion is wanted.
        """
        for key in [key for key, case in self._open.items() if _is_ripe(case, now_ns, has_shadow=has_shadow)]:
            self._closed[key] = None
            yield self._open.pop(key)
        for key in list(self._closed)[: max(0, len(self._closed) - _REMEMBERED)]:
            del self._closed[key]

    def _case(self, key: Key, now_ns: int) -> Case | None:
        if key in self._closed:
            return None
        return self._open.setdefault(key, Case(*key, born_ns=now_ns))


def _is_ripe(case: Case, now_ns: int, *, has_shadow: bool) -> bool:
    if case.record is None:
        return now_ns - case.born_ns > RESULT_PATIENCE_NS
    return not has_shadow or bool(case.shadows) or now_ns - case.record_ns > SHADOW_PATIENCE_NS
