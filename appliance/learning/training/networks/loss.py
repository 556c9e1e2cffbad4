"""What training minimises: class error over all candidates, box error over the positive ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from appliance.learning.training.networks.assignment import assign

CLASS_WEIGHT = 0.5
BOX_WEIGHT = 7.5


def detection_loss(logits: Tensor, boxes: Tensor, centres: Tensor, truth: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the loss of one batch.

    Args:
        logits: (N, C, A). boxes: (N, 4, A) xyxy px. centres: (2, A) px.
        truth: For each frame boxes (G, 4) xyxy px and classes (G,).
    """
    logits, boxes = logits.transpose(1, 2), boxes.transpose(1, 2)
    with torch.no_grad():
        scores = logits.sigmoid()
        targets = [
            assign(scores[i], boxes[i], centres.T, true_boxes, true_classes)
            for i, (true_boxes, true_classes) in enumerate(truth)
        ]
    wanted = torch.stack([target.scores for target in targets])
    total = wanted.sum().clamp(min=1.0)
    class_loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / total
    is_positive = torch.stack([target.is_positive for target in targets])
    weights = wanted.sum(dim=2)[is_positive]
    misfit = 1.0 - complete_iou(boxes[is_positive], torch.cat([target.boxes for target in targets]))
    return CLASS_WEIGHT * class_loss + BOX_WEIGHT * (misfit * weights).sum() / total


def complete_iou(boxes: Tensor, wanted: Tensor) -> Tensor:
    """Return the (P,) complete IoU: overlap, distance of centres and aspect ratio.

    Source: Zheng et al., "Distance-IoU Loss", 2020.
    """
    low, high = torch.maximum(boxes[:, :2], wanted[:, :2]), torch.minimum(boxes[:, 2:], wanted[:, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=1)
    sizes, wanted_sizes = boxes[:, 2:] - boxes[:, :2], wanted[:, 2:] - wanted[:, :2]
    iou = overlap / (sizes.prod(dim=1) + wanted_sizes.prod(dim=1) - overlap + 1e-9)
    hull = torch.maximum(boxes[:, 2:], wanted[:, 2:]) - torch.minimum(boxes[:, :2], wanted[:, :2])
    apart = (boxes[:, :2] + boxes[:, 2:] - wanted[:, :2] - wanted[:, 2:]).square().sum(dim=1) / 4
    angles = torch.atan2(wanted_sizes[:, 0], wanted_sizes[:, 1]) - torch.atan2(sizes[:, 0], sizes[:, 1])
    aspect = 4 / math.pi**2 * angles.square()
    with torch.no_grad():
        aspect_weight = aspect / (1 - iou + aspect + 1e-9)
    return iou - apart / (hull.square().sum(dim=1) + 1e-9) - aspect_weight * aspect
