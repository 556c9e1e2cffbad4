"""Small drawn boards: two conductors, a pad, and one defect of each kind."""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 128
COPPER, GROUND = 10, 245


def clean() -> NDArray[np.uint8]:
    """Draw a board without defects."""
    pixels = np.full((SIDE_PX, SIDE_PX), GROUND, np.uint8)
    cv2.rectangle(pixels, (0, 30), (SIDE_PX, 45), COPPER, -1)
    cv2.rectangle(pixels, (0, 62), (SIDE_PX, 77), COPPER, -1)
    cv2.rectangle(pixels, (40, 95), (90, 120), COPPER, -1)
    return pixels


def with_defect(kind: str) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """The board with one defect, and its box."""
    pixels = clean()
    places = {
        "open": ((50, 28), (54, 47), GROUND),
        "short": ((50, 44), (55, 63), COPPER),
        "mousebite": ((50, 38), (54, 46), GROUND),
        "spur": ((50, 44), (54, 52), COPPER),
        "copper": ((20, 100), (27, 106), COPPER),
        "pin-hole": ((62, 104), (67, 109), GROUND),
    }
    first, last, grey = places[kind]
    cv2.rectangle(pixels, first, last, grey, -1)
    return pixels, (*first, last[0] + 1, last[1] + 1)
