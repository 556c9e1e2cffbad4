"""Pictures that look natural enough for a detector to answer as it does in life, the same on every machine."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def natural_picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Draw a scene: a soft background, some objects with edges, a little noise.

    Returns:
        (height, width, 3) uint8; its channels differ, so that a wrong channel order shows.
    """
    chance = np.random.default_rng(seed)
    soft = chance.integers(40, 216, (5, 5, 3), np.uint8)
    scene = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    side = max(2, min(height, width))
    for _ in range(12):
        colour = tuple(int(value) for value in chance.integers(0, 256, 3))
        x, y = int(chance.integers(0, width)), int(chance.integers(0, height))
        extent = int(chance.integers(side // 16 + 1, side // 4 + 2))
        if chance.random() < 0.5:
            cv2.rectangle(scene, (x, y), (x + extent, y + extent * 2 // 3), colour, -1)
        else:
            cv2.ellipse(scene, (x, y), (extent, extent * 2 // 3), float(chance.integers(0, 180)), 0, 360, colour, -1)
    scene = cv2.GaussianBlur(scene, (3, 3), 0)
    noise = chance.normal(0, 4, scene.shape)
    drawn: NDArray[np.uint8] = np.clip(scene + noise, 0, 255).astype(np.uint8)
    return drawn
