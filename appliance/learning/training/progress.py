"""What a run has done so far, and how it tells: JSON lines on standard output, for whoever started it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_STEP_EVERY_S = 2.0


@dataclass
class Progress:
    """What a run has done so far; saved with each checkpoint.

    Attributes:
        curve: One row an epoch: epoch, minutes, loss, val_map50 (None where it wasn't measured), learning_rate.
        best_epoch: After which the best network was measured; 0 before the first check.
        best_merit: Of that network.
        checks_since: How many checks have been no better since.
    """

    epoch: int = 0
    minutes: float = 0.0
    best_epoch: int = 0
    best_merit: float = -math.inf
    checks_since: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def note_check(self, merit: float) -> bool:
        """Remember a measurement; returns whether it is the best, or as good."""
        if merit >= self.best_merit:
            self.best_merit, self.best_epoch, self.checks_since = merit, self.epoch, 0
            return True
        self.checks_since += 1
        return False

    def is_over(self, patience_checks: int) -> bool:
        """Tell whether patience has ended."""
        return 0 < patience_checks <= self.checks_since


class Report:
    """Tells events; `say` gets one JSON document a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last_step_s = -1e9

    def start(self, train: int, val: int, parameters: int, epoch: int) -> None:
        """Tell what will be learnt from."""
        self._tell({"event": "start", "train": train, "val": val, "parameters": parameters, "after_epoch": epoch})

    def step(self, epochs_done: float, loss: float, minutes_left: float) -> None:
        """Tell about a batch, at most every other second."""
        if time.monotonic() - self._last_step_s >= _STEP_EVERY_S:
            self._last_step_s = time.monotonic()
            left = round(minutes_left, 1)
            self._tell({"event": "step", "epochs": round(epochs_done, 3), "loss": round(loss, 4), "minutes_left": left})

    def epoch(self, row: Mapping[str, Any], epochs: int, minutes_left: float) -> None:
        """Tell about an epoch."""
        self._tell({"event": "epoch", **row, "epochs": epochs, "minutes_left": round(minutes_left, 1)})

    def note(self, text: str) -> None:
        """Tell something in words."""
        self._tell({"event": "note", "text": text})

    def _tell(self, event: Mapping[str, Any]) -> None:
        self._say(json.dumps(event))
