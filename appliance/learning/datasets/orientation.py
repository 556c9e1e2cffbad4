"""The eight orientations of a picture and its boxes."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def turned(
    pixels: NDArray[Scalar], boxes: NDArray[np.float32], view: int, *, lean_px: float = 0.0
) -> tuple[NDArray[Scalar], NDArray[np.float32]]:
    """Return one of the eight flips and quarter turns; view 0 is the picture itself.

    Args:
        pixels: (H, W) or (H, W, 3). boxes: (K, 4) xyxy px.
        view: 1 flips left and right, 2 up and down, 4 turns; their sums do both.
        lean_px: How much wider the set's boxes are to the left and top than to the right and bottom. Boxes of turned
            pictures keep that habit; otherwise their place would be a matter of chance.
    """
    if view & 1:
        pixels, width = pixels[:, ::-1], pixels.shape[1]
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
        boxes[:, [0, 2]] -= np.float32(lean_px)
    if view & 2:
        pixels, height = pixels[::-1], pixels.shape[0]
        boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
        boxes[:, [1, 3]] -= np.float32(lean_px)
    if view & 4:
        pixels, boxes = pixels.swapaxes(0, 1), boxes[:, [1, 0, 3, 2]]
    return np.ascontiguousarray(pixels), boxes
