"""What the inspector counts, and how its status tells it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from appliance.counters import LatencyWindow


@dataclass
class CameraCounters:
    """Counts of one camera since the process started.

    Attributes:
        frames: Leased from the ring; each ends as inspected, doubted, refused, unjudged, given up or abandoned.
        inspected: Went through the model, with or without success.
        copied: Of the inspected ones, those whose pixels were copied before the model read them.
        doubts: Failed evidence checks, by check.
        refused: Of a shape that the model can't take.
        unjudged: Its model wasn't there, or nothing was asked of it.
        model_errors: Inspected, but the model failed or gave numbers that aren't finite.
        given_up: Too late to be inspected; the publisher says so.
        abandoned: Still waiting when the time to stop was over.
    """

    frames: int = 0
    inspected: int = 0
    copied: int = 0
    doubts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    unjudged: int = 0
    model_errors: int = 0
    given_up: int = 0
    abandoned: int = 0

    def as_status(self) -> dict[str, Any]:
        """Give the counts under stable names."""
        return {
            "frames": self.frames,
            "inspected": self.inspected,
            "copies_per_frame": round(self.copied / self.inspected, 4) if self.inspected else None,
            "evidence_failures": dict(self.doubts),
            "refused": self.refused,
            "unjudged": self.unjudged,
            "model_errors": self.model_errors,
            "given_up": self.given_up,
            "abandoned": self.abandoned,
        }


@dataclass
class InspectionCounters:
    """Counts of the process."""

    cameras: dict[str, CameraCounters]
    batches: int = 0
    inference_ms: LatencyWindow = field(default_factory=LatencyWindow)
    evidence_ms: LatencyWindow = field(default_factory=LatencyWindow)
    judging_ms: LatencyWindow = field(default_factory=LatencyWindow)

    def as_status(self) -> dict[str, Any]:
        """Give the counts under stable names; times are those of a batch, evidence that of a frame."""
        inspected = sum(camera.inspected for camera in self.cameras.values())
        return {
            "cameras": {name: camera.as_status() for name, camera in self.cameras.items()},
            "batches": self.batches,
            "mean_batch_size": round(inspected / self.batches, 3) if self.batches else None,
            "inference_ms": self.inference_ms.summary(),
            "evidence_ms": self.evidence_ms.summary(),
            "judging_ms": self.judging_ms.summary(),
        }
