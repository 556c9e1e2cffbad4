"""What rules look at: a group of pixels that differ, with what was measured on it, and what a rule makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.modelling import Detections
from appliance.modelling.detector import MAX_DETECTIONS

LOWEST_SHARE = 0.25
"""Of its limit that a measure must reach to be listed at all: average precision needs weak findings too."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Called:
    """A candidate that got a name.

    Attributes:
        kind: A class of the rules. box: xyxy in px of the image, x2 and y2 exclusive.
        excess: Its measure as a multiple of its limit; of several measures the least.
    """

    kind: str
    box: Box
    excess: float

    @property
    def score(self) -> float:
        """How far beyond the limit, 0..1: 0.5 at the limit, 0.67 at twice the limit."""
        return self.excess / (1 + self.excess)


def detections(
    called: Iterable[Called], class_names: Sequence[str], size_px: tuple[int, int], margin_px: float
) -> Detections:
    """Make what a model would have said of named candidates: best first, as many as a model may say.

    Args:
        class_names: A kind that isn't among them is dropped.
        size_px: Width and height of the image; boxes are cut off there.
        margin_px: By which boxes are grown on each side, as people draw them.
    """
    kept = [one for one in called if one.excess >= LOWEST_SHARE and one.kind in class_names]
    kept = sorted(kept, key=lambda one: (-one.excess, one.box))[:MAX_DETECTIONS]
    if not kept:
        return Detections.none()
    boxes: NDArray[np.float32] = np.array([one.box for one in kept], np.float32)
    grown = boxes + np.array([-margin_px, -margin_px, margin_px, margin_px], np.float32)
    return Detections(
        np.clip(grown, 0, np.array([*size_px, *size_px], np.float32)),
        np.array([one.score for one in kept], np.float32),
        np.array([class_names.index(one.kind) for one in kept], np.int64),
    )
