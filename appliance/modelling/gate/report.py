"""What the gate found, step by step."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from appliance.clock import NS_PER_MS

STEPS = ("hash", "signature", "start", "parse", "load", "warm-up", "golden")
"""In order of time; hash and signature happen in the caller's process, the others in the limited child."""


def ms_since(start_ns: int) -> float:
    """Milliseconds since a moment of the monotonic clock."""
    return round((time.monotonic_ns() - start_ns) / NS_PER_MS, 1)


@dataclass(frozen=True, slots=True)
class Step:
    """One step that a model has passed.

    Attributes:
        ms: How long it took, on the wall clock.
        detail: What was looked at, in a few words.
    """

    name: str
    ms: float
    detail: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """A model that passed the gate.

    Attributes:
        model: Its name.
        sha256: Of model.onnx.
        contract_sha256: Of model.toml.
        provider: The execution provider it ran on.
        steps: All of `STEPS`.
        rights: How the child was confined: network, files, memory, in words.
        peak_mb: Most physical memory the child had, MiB.
    """

    model: str
    sha256: str
    contract_sha256: str
    provider: str
    steps: tuple[Step, ...]
    rights: dict[str, str]
    peak_mb: float

    @property
    def ms(self) -> float:
        """All steps together."""
        return round(sum(step.ms for step in self.steps), 1)

    def to_json(self) -> dict[str, Any]:
        """Give a JSON-ready form."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps], "ms": self.ms}
