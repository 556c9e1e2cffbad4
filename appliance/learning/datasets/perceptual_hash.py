"""Images that look alike, by the signs of their 255 lowest cosine terms.

Measured on 150 images each of DeepPCB, NEU-DET and the magnetic-tile set: a copy (JPEG quality 50, noise of 5 grey
values, brighter, half the size, moved by 1 px) differs from its image in at most 40 of 255 bits; two images of DeepPCB
or NEU-DET in at least 96. Pairs of the magnetic tiles below that are overlapping cuts of one photograph.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.modelling.pixels import Pixels, to_pixel_format

BITS = 255
ALIKE_BITS = 44
"""Two images that differ in no more are near-duplicates, unless the parts of a set are as much alike; see `leaks`."""

_SIDE, _TERMS = 64, 16
Hashes = NDArray[np.uint64]
"""(N, 4) uint64."""


def perceptual_hash(pixels: Pixels, pixel_format: str) -> Hashes:
    """Hash an image of any size; returns (4,) uint64, of which the last bit is always 0."""
    small = cv2.resize(to_pixel_format(pixels, pixel_format, "Mono8"), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    terms = cv2.dct(small.astype(np.float32))[:_TERMS, :_TERMS].ravel()[1:]  # the first is the brightness
    bits = np.append(terms > np.median(terms), False)
    return np.packbits(bits).view(np.uint64)


def distances(one: Hashes, many: Hashes) -> NDArray[np.int64]:
    """Count the differing bits of one hash (4,) and each of many (N, 4)."""
    apart: NDArray[np.int64] = np.bitwise_count(many ^ one).sum(axis=1, dtype=np.int64)
    return apart


def fitting_limit(nearest_bits: Sequence[int]) -> tuple[int, float]:
    """Choose up to how many differing bits two images of a set are near-duplicates.

    Parts in one place and one light come nearer than copies of other scenes: there the limit is half of what the
    nearest twentieth of different images has.

    Args:
        nearest_bits: Of different images of the set: in how many bits each differs from the one nearest to it.
    Returns:
        The limit, and that nearest twentieth; without any image `ALIKE_BITS` and `BITS`.
    """
    if not nearest_bits:
        return ALIKE_BITS, float(BITS)
    usual = float(np.percentile(nearest_bits, 5))
    return min(ALIKE_BITS, int(usual / 2)), usual
