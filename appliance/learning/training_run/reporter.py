"""What a training run tells the person who waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class EpochDone:
    """One epoch, as the child tells it.

    Attributes:
        minutes: Of training so far, over all starts.
        minutes_left: None where it can't be told.
        val_map50: mAP@0.5 on the validation parts, where this epoch was measured.
    """

    epoch: int
    epochs: int
    minutes: float
    minutes_left: float | None
    loss: float | None
    val_map50: float | None

    @classmethod
    def of(cls, event: dict[str, Any], epochs: int) -> Self | None:
        """Read an event; None where it isn't one."""
        epoch = _number(event.get("epoch"))
        if epoch is None:
            return None
        minutes = _number(event.get("minutes")) or 0.0
        left = _number(event.get("minutes_left"))
        total = int(_number(event.get("epochs")) or epochs)
        if left is None and epoch > 0:
            left = minutes / epoch * max(0.0, total - epoch)
        return cls(int(epoch), total, minutes, left, _number(event.get("loss")), _number(event.get("val_map50")))


class Reporter(Protocol):
    """Called from the thread that runs the training."""

    def say(self, line: str) -> None:
        """Tell one thing worth a line."""
        ...

    def begin(self, epochs: int) -> None:
        """Tell that the training begins, and how many epochs it has at most."""
        ...

    def step(self, epochs_done: float | None, loss: float | None, minutes_left: float | None) -> None:
        """Tell how far the training is, between epochs."""
        ...

    def epoch(self, done: EpochDone) -> None:
        """Tell that an epoch is over."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Tell how far a step is that has begun."""
        ...


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
