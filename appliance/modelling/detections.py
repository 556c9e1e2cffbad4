"""What a detector found in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes of one frame, best score first.

    Attributes:
        boxes_in_image: (K, 4) float32, x1 y1 x2 y2 in px of the frame; x2 and y2 are exclusive.
        scores: (K,) float32 in 0..1.
        class_ids: (K,) int64, an index into the bundle's class names.
    """

    boxes_in_image: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

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
