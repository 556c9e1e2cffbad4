"""How large the network's input is: the images' own size, so far as training and the line can afford it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from appliance.learning.datasets import LabelledImage, image_size

STEP_PX = 32
"""The coarsest stride of the networks: an input that isn't a multiple of it would be padded inside."""
LARGEST_PX = 640
_LOOKED_AT = 64


def common_size(images: Sequence[LabelledImage]) -> tuple[int, int]:
    """Return the most common width and height in px; of images whose labels don't say it, some are opened.

    Raises:
        DatasetError: An image can't be read.
    """
    step = max(1, len(images) // _LOOKED_AT)
    sizes = Counter(image.size_px or image_size(image.path) for image in images[::step])
    return sizes.most_common(1)[0][0]


def input_size(image_px: tuple[int, int]) -> tuple[int, int]:
    """Return the input's width and height in px: rounded up to whole strides, shrunk where a side is beyond 640."""
    scale = min(1.0, LARGEST_PX / max(image_px))
    width, height = (max(STEP_PX, -(-round(side * scale) // STEP_PX) * STEP_PX) for side in image_px)
    return width, height


def size_note(image_px: tuple[int, int], input_px: tuple[int, int]) -> str:
    """Say how the one comes from the other."""
    told = f"images {image_px[0]}x{image_px[1]} px, network input {input_px[0]}x{input_px[1]}"
    scale = min(input_px[0] / image_px[0], input_px[1] / image_px[1])
    if scale < 1.0:
        told += f": shrunk to {scale:.0%}; --size WxH chooses another, tiles (recipe, [tiling]) keep every pixel"
    return told
