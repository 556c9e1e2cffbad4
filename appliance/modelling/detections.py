"""What a detector found in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.placement import Placement


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes of one frame, best score first.

    Attributes:
        boxes_in_image: (K, 4) float32, x1 y1 x2 y2 in px of the frame; x2 and y2 are exclusive.
        scores: (K,) float32 in 0..1.
        class_ids: (K,) int64, an index into the bundle's class names.
        image_score: How unusual the whole frame is, 0..1; only anomaly models tell.
    """

    boxes_in_image: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    image_score: float | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Return the result of a frame in which nothing was found."""
        return cls(
            boxes_in_image=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            class_ids=np.zeros(0, np.int64),
        )


def in_frame(
    boxes_in_model_input: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    place: Placement,
) -> Detections:
    """Bring a model's boxes, best first, to the frame; what lies wholly beside the frame is dropped."""
    boxes = place.to_image(boxes_in_model_input)
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[has_area], scores[has_area], class_ids[has_area])
