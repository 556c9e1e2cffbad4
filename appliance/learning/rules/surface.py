"""Marks on the surface: groups of px whose relief is beyond what good parts show, with length, width and contrast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.rules.cut import corners_of

CONTRAST_STEPS = 160
"""A contrast of 1 in the bytes that images are kept in."""
_MOST = 126  # of a byte with sign, which its greatest value then still exceeds

Band = Literal["fine", "line", "broad"]
_LEAST_PX = 3
"""Px of a group; what is smaller is noise."""


@dataclass(frozen=True)
class Mark:
    """A group of px of the surface that stand out.

    Attributes:
        band: Where it was found: "fine" (grains), "line", or "broad" (creases).
        corners: (N, 2) corners of its px, px of the reference.
        length_px, width_px: Of the smallest rectangle around it, and its area by its length.
        diameter_px: Of a circle of its area.
        contrast: Greatest deviation of the grey value from its surroundings, a share.
        two_sided: Of bright and dark px the fewer, as a share of all: a crease has both.
    """

    band: Band
    corners: NDArray[np.float64]
    length_px: float
    width_px: float
    diameter_px: float
    contrast: float
    two_sided: float

    @property
    def elongation(self) -> float:
        """How many times longer than wide."""
        return self.length_px / max(self.width_px, 1.0)


def marks(
    deviation: NDArray[np.int8],
    contrast: NDArray[np.int8],
    is_surface: NDArray[np.bool_],
    band: Band,
    *,
    limit: float,
    grow_share: float,
    gap_px: int,
    step: int = 1,
) -> Iterator[Mark]:
    """Find marks in one band of the relief.

    Args:
        deviation, contrast: (h, w) from good parts, and of the grey value in `CONTRAST_STEPS`; both with sign.
        is_surface: (h, w) where to look.
        limit: Deviation from where on a px stands out.
        grow_share: Of the limit that its neighbours must reach to belong to it.
        gap_px: Gaps so wide are bridged, in px of this band.
        step: Px of the reference for one of this band.
    """
    for sides in (deviation,) if band == "broad" else (deviation, -deviation):  # a crease has a bright and a dark flank
        amount = np.abs(sides) if band == "broad" else sides
        amount = np.where(is_surface, amount, 0)
        yield from _groups(amount, contrast, band, limit=limit, grow_share=grow_share, gap_px=gap_px, step=step)


def _groups(
    amount: NDArray[np.int8],
    contrast: NDArray[np.int8],
    band: Band,
    *,
    limit: float,
    grow_share: float,
    gap_px: int,
    step: int,
) -> Iterator[Mark]:
    is_seed = amount > np.int8(min(_MOST, int(limit)))  # whole numbers: NumPy would compare a float in 64 bits
    if not is_seed.any():
        return
    out = (amount > np.int8(min(_MOST, int(limit * grow_share)))).astype(np.uint8)
    joined = cv2.morphologyEx(out, cv2.MORPH_CLOSE, _disk(gap_px)) if gap_px else out
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for label in np.unique(labels[is_seed]).tolist():
        x, y, w, h, area = (int(value) for value in stats[label])
        if label == 0 or area < _LEAST_PX:
            continue
        inside = (slice(y, y + h), slice(x, x + w))
        own = labels[inside] == label
        seen = own & (out[inside] > 0)
        rows, columns = np.nonzero(own)
        (_, sides, _) = cv2.minAreaRect(np.stack([columns, rows], axis=1).astype(np.float32))
        length = max(sides) + 1
        values = contrast[inside][seen]
        bright = float((values > 0).mean()) if len(values) else 0.0
        yield Mark(
            band=band,
            corners=corners_of(own, x, y) * step,
            length_px=length * step,
            width_px=area / length * step,
            diameter_px=float(np.sqrt(4 * area / np.pi)) * step,
            contrast=float(np.abs(values).max(initial=0)) / CONTRAST_STEPS,
            two_sided=min(bright, 1 - bright),
        )


def _disk(radius_px: int) -> NDArray[np.uint8]:
    side = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
