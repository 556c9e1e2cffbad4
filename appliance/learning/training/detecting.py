"""Run a network that is no bundle yet, through the decoder that the appliance will use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from appliance.learning.evaluation.detecting import LOWEST_SCORE
from appliance.learning.training.networks import Network
from appliance.learning.training.part import Part, frame_boxes
from appliance.learning.training.plan import NMS_IOU, Plan
from appliance.modelling import Detections
from appliance.modelling.families.yolov8 import decoder_of


def detect(network: Network, parts: Sequence[Part], plan: Plan, device: torch.device) -> list[Detections]:
    """Find defects in whole frames, down to the lowest score; one item for each part, boxes in the input's px."""
    exported = network.exported().eval()
    decoder = decoder_of(len(plan.class_names))
    found: list[Detections] = []
    for start in range(0, len(parts), plan.frames_in_batch):
        some = parts[start : start + plan.frames_in_batch]
        images = torch.from_numpy(np.stack([part.pixels[None] for part in some])).to(device)
        with torch.inference_mode():
            rows = exported(images).float().cpu().numpy()
        found += decoder.decode([rows], frame_boxes(some), score=LOWEST_SCORE, nms_iou=NMS_IOU)
    return found
