"""Which candidates learn which defect: task-aligned assignment.

A candidate is good for a defect when it scores the right class *and* its box fits; the best ones inside
each defect become positive. Source: Feng et al., "TOOD: Task-aligned One-stage Object Detection", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BEST_FOR_EACH = 10
SCORE_POWER = 0.5
FIT_POWER = 6.0
SMALLEST_SIDE_PX = 12.0  # a defect thinner than the grid still gets candidates
# A box of a few px fits badly however well it was found. Scores that follow the fit alone made burrs of 4 px score 0.03
# to 0.14, as high as the noise of good parts: the best candidate of a defect is asked for at least this much.
LEAST_STRENGTH = 0.85
LEAST_FIT = 0.05  # so that candidates of a tiny defect can be told apart before any box fits


@dataclass(frozen=True)
class Targets:
    """What each candidate of one frame shall say.

    Attributes:
        is_positive: (A,) bool. boxes: (P, 4) xyxy px of the positives. scores: (A, C) soft class targets.
    """

    is_positive: Tensor
    boxes: Tensor
    scores: Tensor


def assign(scores: Tensor, boxes: Tensor, centres: Tensor, true_boxes: Tensor, true_classes: Tensor) -> Targets:
    """Assign candidates of one frame to its defects. The caller switches gradients off.

    Args:
        scores: (A, C) in 0..1. boxes: (A, 4) xyxy px, predicted. centres: (A, 2) px.
        true_boxes: (G, 4) xyxy px. true_classes: (G,) int64.
    """
    targets = torch.zeros_like(scores)
    if not len(true_boxes):
        return Targets(torch.zeros(len(scores), dtype=torch.bool, device=scores.device), true_boxes, targets)
    inside = _inside(centres, true_boxes)
    fits = pairwise_iou(true_boxes, boxes).clamp(min=LEAST_FIT) * inside
    alignment = scores[:, true_classes].T.pow(SCORE_POWER) * fits.pow(FIT_POWER)
    count = min(BEST_FOR_EACH, alignment.shape[1])
    best = torch.zeros_like(inside).scatter_(1, alignment.topk(count, dim=1).indices, True) & inside
    owner_fit, owner = torch.where(best, fits, -1.0).max(dim=0)
    is_positive = owner_fit >= 0
    owned = best & (torch.arange(len(true_boxes), device=owner.device)[:, None] == owner)
    alignment, fits = alignment * owned, fits * owned
    strength = alignment / alignment.amax(1, keepdim=True).clamp(min=1e-12)
    strength = strength * fits.amax(1, keepdim=True).clamp(min=LEAST_STRENGTH)
    positives = is_positive.nonzero()[:, 0]
    targets[positives, true_classes[owner[positives]]] = strength.amax(0)[positives]
    return Targets(is_positive, true_boxes[owner[positives]], targets)


def _inside(centres: Tensor, true_boxes: Tensor) -> Tensor:
    middle = (true_boxes[:, :2] + true_boxes[:, 2:]) / 2
    half = ((true_boxes[:, 2:] - true_boxes[:, :2]) / 2).clamp(min=SMALLEST_SIDE_PX / 2)
    return ((centres[None] - middle[:, None]).abs() < half[:, None]).all(dim=2)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the (G, A) intersection over union of xyxy boxes."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    return overlap / (areas[0][:, None] + areas[1][None] - overlap + 1e-9)
