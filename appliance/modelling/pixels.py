"""From a camera's pixel format to the model's."""

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

# Not COLOR_BayerRG2…: OpenCV's old names start at the second pixel of the second row.
_CONVERSIONS: dict[tuple[str, str], int | None] = {
    ("Mono8", "Mono8"): None,
    ("Mono8", "RGB8"): cv2.COLOR_GRAY2RGB,
    ("Mono8", "BGR8"): cv2.COLOR_GRAY2BGR,
    ("RGB8", "Mono8"): cv2.COLOR_RGB2GRAY,
    ("RGB8", "RGB8"): None,
    ("RGB8", "BGR8"): cv2.COLOR_RGB2BGR,
    ("BGR8", "Mono8"): cv2.COLOR_BGR2GRAY,
    ("BGR8", "RGB8"): cv2.COLOR_BGR2RGB,
    ("BGR8", "BGR8"): None,
    ("BayerRG8", "Mono8"): cv2.COLOR_BayerRGGB2GRAY,
    ("BayerRG8", "RGB8"): cv2.COLOR_BayerRGGB2RGB,
    ("BayerRG8", "BGR8"): cv2.COLOR_BayerRGGB2BGR,
}


def to_pixel_format(pixels: Pixels, pixel_format: str, wanted: str) -> NDArray[np.uint8]:
    """Convert a frame.

    Args:
        pixels: (H, W) uint8 or, for Mono16, uint16; (H, W, 3) uint8 for RGB8 and BGR8.
        pixel_format: PFNC name of the frame.
        wanted: "Mono8", "RGB8" or "BGR8".
    Returns:
        (H, W) uint8 for Mono8, else (H, W, 3) uint8; the very same array where it has the wanted format already.
    Raises:
        ModelContractMismatch: No way is known between these pixel formats.
    """
    if pixel_format == "Mono16":  # the top byte: 12 bits left-aligned end at 0xFFF0, white too
        return to_pixel_format(np.right_shift(pixels, 8).astype(np.uint8), "Mono8", wanted)
    if (pixel_format, wanted) not in _CONVERSIONS:
        raise ModelContractMismatch(
            f"frame for the model: no conversion from {pixel_format} to {wanted}; set the camera's PixelFormat to Mono8"
            f"{'' if wanted == 'Mono8' else ' or RGB8'}"
        )
    conversion = _CONVERSIONS[pixel_format, wanted]
    if conversion is None:
        return pixels.astype(np.uint8, copy=False)
    return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)


def to_mono8(pixels: Pixels, pixel_format: str) -> NDArray[np.uint8]:
    """Convert a frame to grey, (H, W) uint8; see `to_pixel_format`."""
    return to_pixel_format(pixels, pixel_format, "Mono8")
