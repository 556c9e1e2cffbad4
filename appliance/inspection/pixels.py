"""From a camera's pixel format to the model's."""

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch
from appliance.ring import Pixels


def to_mono8(pixels: Pixels, pixel_format: str) -> NDArray[np.uint8]:
    """Convert a frame to grey.

    Args:
        pixels: As a frame lease gives them.
        pixel_format: PFNC name of the frame.
    Returns:
        (H, W) uint8; of Mono8 the very same array, else a new one.
    Raises:
        ModelContractMismatch: No way is known from this pixel format.
    """
    if pixel_format == "Mono8":
        return pixels.astype(np.uint8, copy=False)
    if pixel_format == "Mono16":
        return np.right_shift(pixels, 8).astype(np.uint8)  # the top byte: 12 bits left-aligned end at 0xFFF0, white too
    if pixel_format == "RGB8":
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    if pixel_format == "BayerRG8":
        # Not COLOR_BayerRG2GRAY: OpenCV's old names start at the second pixel of the second row.
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2GRAY), np.uint8)
    raise ModelContractMismatch(
        f"frame for the model: no conversion from {pixel_format} to Mono8; set the camera's PixelFormat to Mono8"
    )
