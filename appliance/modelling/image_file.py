"""An image file's bytes to pixels, as the appliance's image folders see them."""

from __future__ import annotations

import cv2
import numpy as np

from appliance.modelling.pixels import Pixels

_COLOUR_AXES = 3


def decode_image(content: bytes) -> tuple[Pixels, str] | None:
    """Decode an image, turned as its EXIF data says.

    Returns:
        Pixels and their PFNC name: (H, W) uint8 "Mono8", (H, W) uint16 "Mono16" or (H, W, 3) uint8 "BGR8"; None for
        what is no image of 8 or 16 bits.
    """
    encoded = np.frombuffer(content, np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH) if len(encoded) else None
    except cv2.error:
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.ndim == _COLOUR_AXES:
        in_8_bits = image if image.dtype == np.uint8 else np.right_shift(image.astype(np.uint16, copy=False), 8)
        return in_8_bits.astype(np.uint8, copy=False), "BGR8"
    if image.dtype == np.uint16:
        return image.astype(np.uint16, copy=False), "Mono16"
    return image.astype(np.uint8, copy=False), "Mono8"
