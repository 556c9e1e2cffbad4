"""What both sets of rules for printed circuit boards share: dark copper on light ground, and who touches whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.rules.candidate import Box

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
Mask = NDArray[np.uint8]
"""(H, W) uint8, 0 or 1."""


@dataclass(frozen=True)
class BoardCandidate:
    """A group of px with a name already: who touches whom decides it, no limit does.

    Attributes:
        area_px: Px in it.
    """

    kind: str
    box: Box
    area_px: int


@dataclass(frozen=True)
class Group:
    """A connected group of px and what lies around it.

    Attributes:
        own: (h, w) uint8, its px within `window`.
        window: Rows and columns of the image, with a margin around the group.
    """

    own: Mask
    window: tuple[slice, slice]
    box: Box
    area_px: int

    def grown(self, reach_px: int) -> Mask:
        """Return its px and those so near."""
        return np.asarray(cv2.dilate(self.own, disk(reach_px)), np.uint8)


def groups(mask: Mask, margin_px: int, least_px: int = 2) -> Iterator[Group]:
    """Yield the connected groups of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    height, width = mask.shape
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        if area < least_px:
            continue
        window = (
            slice(max(0, y - margin_px), min(height, y + h + margin_px)),
            slice(max(0, x - margin_px), min(width, x + w + margin_px)),
        )
        own = (labels[window] == label).astype(np.uint8)
        yield Group(own, window, (float(x), float(y), float(x + w), float(y + h)), area)


def pieces(mask: Mask, least_px: int = 6) -> tuple[int, NDArray[np.int32]]:
    """Count the connected pieces of a mask, but for crumbs; and label all of them."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return int((stats[1:, cv2.CC_STAT_AREA] >= least_px).sum()), np.asarray(labels, np.int32)


def touched(labels: NDArray[np.int32], where: Mask) -> int:
    """Count the labelled pieces that a mask touches."""
    return len(np.unique(labels[(where > 0) & (labels > 0)]))


def copper_of(pixels: NDArray[np.uint8], threshold_grey: float) -> Mask:
    """Tell copper, which is dark, from ground."""
    return (pixels < threshold_grey).astype(np.uint8)


def disk(radius_px: int) -> Mask:
    """Return a round structuring element."""
    side = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
