"""What YOLOv3 minimises: objectness everywhere but where a box overlaps a defect anyway, class and box where one is.

As in the paper one candidate answers for a defect: in the cell of its centre, the anchor whose shape fits best among
those of all scales. The box error is 1 - CIoU instead of the paper's squared error of (tx, ty, tw, th): it is what
average precision looks at, counts a px of a small defect for more than one of a large one, and needs no weights by
size. What the network's numbers mean stays the paper's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from appliance.learning.training.networks.assignment import pairwise_iou
from appliance.learning.training.networks.loss import complete_iou
from appliance.learning.training.networks.network import Truth

IGNORE_IOU = 0.5
"""Predicted boxes that overlap a defect by more are neither right nor wrong."""
BOX_WEIGHT = 2.0


def yolov3_loss(rows: Tensor, boxes: Tensor, grid: tuple[Tensor, Tensor, Tensor], truth: Truth) -> Tensor:
    """Return the loss of one batch, a sum over candidates divided by the number of defects.

    Args:
        rows: (N, A, 5 + C) raw. boxes: (N, A, 4) cx cy w h px, decoded from them.
        grid: Corner of each candidate's cell (A, 2), stride (A, 1) and anchor (A, 2), all in px.
        truth: For each picture boxes (G, 4) xyxy px and classes (G,).
    """
    corners = _corners(boxes)
    objectness = torch.zeros_like(rows[..., 4])
    counted = torch.ones_like(objectness)
    class_loss, box_loss, defects = rows.sum() * 0.0, rows.sum() * 0.0, 0
    for place, (true_boxes, true_classes) in enumerate(truth):
        if not len(true_boxes):
            continue
        with torch.no_grad():
            overlaps = pairwise_iou(true_boxes, corners[place]).amax(dim=0)
            owner = answering(true_boxes, grid)
            counted[place] = (overlaps <= IGNORE_IOU).float()
            counted[place, owner], objectness[place, owner] = 1.0, 1.0
        wanted = nn.functional.one_hot(true_classes, rows.shape[2] - 5).float()
        class_loss = class_loss + _entropy(rows[place, owner, 5:], wanted).sum()
        box_loss = box_loss + (1.0 - complete_iou(corners[place, owner], true_boxes)).sum()
        defects += len(true_boxes)
    found_loss = (_entropy(rows[..., 4], objectness) * counted).sum()
    return (found_loss + class_loss + BOX_WEIGHT * box_loss) / max(1, defects)


def answering(true_boxes: Tensor, grid: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return (G,) int64: which candidate answers for each defect.

    Args:
        true_boxes: (G, 4) xyxy px. grid: As in `yolov3_loss`.
    """
    origins, strides, anchors = grid
    centres, sizes = (true_boxes[:, :2] + true_boxes[:, 2:]) / 2, true_boxes[:, 2:] - true_boxes[:, :2]
    away = centres[:, None] - origins[None]
    is_inside = ((away >= 0) & (away < strides[None])).all(dim=2)
    overlap = torch.minimum(sizes[:, None], anchors[None]).prod(dim=2)
    shape_iou = overlap / (sizes.prod(dim=1)[:, None] + anchors.prod(dim=1)[None] - overlap)
    return torch.where(is_inside, shape_iou, -1.0).argmax(dim=1)


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], dim=-1)


def _entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
