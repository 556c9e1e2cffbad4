"""What somebody wants captured, and when it shall end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StopReason(StrEnum):
    """Why a capture ended."""

    COUNT = "count"
    DURATION = "duration"
    LIMIT_MB = "limit_mb"
    DISK = "disk_nearly_full"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class CaptureRequest:
    """Which pictures; a picture is taken when any of the wishes holds.

    Attributes:
        every: Those whose trigger id is divisible by it.
        ng: Those in which the model in use found a defect.
        on_request: The next one of each camera, whenever `Capture.ask` is called.
        uncertain: A class's best score lies within `margin` of its rule, the shadow model says something else, or
            brightness or sharpness is far from that of the frames before.
        count: Ends after so many pictures.
        duration_s: Ends after so long.
    """

    every: int | None = None
    ng: bool = False
    on_request: bool = False
    uncertain: bool = False
    margin: float = 0.1
    count: int | None = None
    duration_s: float | None = None

    @property
    def waits_for_results(self) -> bool:
        """Whether only a frame's result tells if it is wanted: then every frame must be held until it comes."""
        return self.ng or self.uncertain

    def is_nth(self, trigger_id: int) -> bool:
        """Whether `every` asks for this trigger."""
        return self.every is not None and trigger_id % self.every == 0
