"""How good a detector is on parts it never saw: escapes, false rejects, missed defects.

The verdict of a part is NG when any detection reaches the score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.learning.deeppcb import CLASS_NAMES, Part
from appliance.modelling.detections import Detections
from appliance.modelling.families.yolov8 import decoder_of
from appliance.modelling.placement import Placement

LOWEST_SCORE = 0.01  # detections below it can't change mAP visibly and cost time
FOUND_IOU = 0.3  # a defect counts as found when some detection overlaps it this much
NMS_IOU = 0.5

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images (N, 1, H, W) uint8 to raw outputs (N, 4 + C, A) float32."""


@dataclass(frozen=True)
class Counts:
    """Verdicts against the truth at one score, always as counts beside rates."""

    escapes: int
    ng_parts: int
    false_rejects: int
    ok_parts: int
    missed_defects: int
    defects: int

    @property
    def escape_rate(self) -> float:
        """NG parts passed as OK, of all NG parts."""
        return self.escapes / self.ng_parts

    @property
    def false_reject_rate(self) -> float:
        """OK parts called NG, of all OK parts."""
        return self.false_rejects / self.ok_parts

    @property
    def missed_defect_rate(self) -> float:
        """Labelled defects that no detection overlaps, of all labelled defects."""
        return self.missed_defects / self.defects


def detect(run: Run, parts: Sequence[Part], batch: int = 8) -> list[Detections]:
    """Run a detector over parts; one item for each, down to `LOWEST_SCORE`."""
    decoder = decoder_of(len(CLASS_NAMES))
    found: list[Detections] = []
    for start in range(0, len(parts), batch):
        images = np.stack([part.pixels[None] for part in parts[start : start + batch]])
        places = [Placement(images.shape[3], images.shape[2])] * len(images)
        found += decoder.decode([run(images)], places, score=LOWEST_SCORE, nms_iou=NMS_IOU)
    return found


def count(parts: Sequence[Part], found: Sequence[Detections], score: float) -> Counts:
    """Count escapes, false rejects and missed defects at one score."""
    called_ng = np.array([bool((one.scores >= score).any()) for one in found])
    is_ok = np.array([part.is_ok for part in parts])
    return Counts(
        escapes=int((~called_ng & ~is_ok).sum()),
        ng_parts=int((~is_ok).sum()),
        false_rejects=int((called_ng & is_ok).sum()),
        ok_parts=int(is_ok.sum()),
        missed_defects=sum(_missed(part, one, score) for part, one in zip(parts, found, strict=True)),
        defects=sum(len(part.boxes) for part in parts),
    )


def _missed(part: Part, found: Detections, score: float) -> int:
    boxes = found.boxes_in_image[found.scores >= score]
    low = np.maximum(part.boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(part.boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (part.boxes, boxes)]
    iou = overlap / (areas[0][:, None] + areas[1][None] - overlap)
    return int((~(iou >= FOUND_IOU).any(axis=1)).sum())


def choose_score(parts: Sequence[Part], found: Sequence[Detections]) -> float:
    """Choose the score of the recipe from validation parts.

    It minimises escapes plus false rejects, as rates; where several scores are equally good, the middle one.
    A part of this set carries several defects and is NG when one is found: a lot with one defect a part
    needs a lower score, and `Counts.missed_defects` says how much is at stake.
    """
    scores = np.round(np.arange(0.05, 0.951, 0.01), 2)
    costs = np.array(
        [
            counts.escape_rate + counts.false_reject_rate
            for counts in (count(parts, found, float(score)) for score in scores)
        ]
    )
    best = scores[costs <= costs.min() + 1e-9]
    return float(best[len(best) // 2])
