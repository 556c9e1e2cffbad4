"""Deviations of the cut: material outside of the outline, or missing inside; how far, how wide, what shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_SPAN_PX = 1.5
"""Missing material counts as of the cut when it reaches the outline within the tolerance and this much more."""


@dataclass(frozen=True)
class CutCandidate:
    """Material too much or too little at one place of the outline.

    Attributes:
        is_outside: Too much. region: xyxy in px of the reference.
        corners: (N, 2) convex hull of its px in the reference, corners of px.
        depth_px: Greatest distance from the outline.
        thickness_px: Diameter of the largest circle within.
        area_px: Px, each by its share.
    """

    is_outside: bool
    corners: NDArray[np.float64]
    depth_px: float
    thickness_px: float
    area_px: float

    @property
    def slenderness(self) -> float:
        """How many times deeper than thick."""
        return self.depth_px / max(self.thickness_px, 0.5)


@dataclass(frozen=True)
class CutSettings:
    """What is a candidate, in px; see `GoldenFind` for the sentences."""

    material_share: float
    tolerance_px: float
    gap_px: int


def cut_candidates(
    material: NDArray[np.uint8], distance: NDArray[np.float32], settings: CutSettings
) -> tuple[list[CutCandidate], NDArray[np.bool_]]:
    """Find deviations of the cut.

    Args:
        material: (H, W) uint8, share of each px that material covers, 255 all; where nobody knows, as expected.
        distance: (H, W) float32, px to the outline, positive outside.
    Returns:
        The candidates; (H, W) bool, px where material is missing: no surface to look at.
    """
    limit = round(255 * settings.material_share)
    added = (material > limit) & (distance > 0)
    missing = (material < limit) & (distance <= 0)
    found = [*_components(added, material, distance, settings, is_outside=True)]
    gone = np.zeros(material.shape, np.bool_)
    for candidate, region, mask in _of_missing(missing, material, distance, settings):
        found.append(candidate)
        x1, y1, x2, y2 = region
        gone[y1:y2, x1:x2] |= mask
    return found, gone


def _components(
    mask: NDArray[np.bool_],
    material: NDArray[np.uint8],
    distance: NDArray[np.float32],
    settings: CutSettings,
    *,
    is_outside: bool,
) -> Iterator[CutCandidate]:
    for candidate, _, _ in _measured(mask, material, distance, settings, is_outside=is_outside):
        yield candidate


def _of_missing(
    mask: NDArray[np.bool_], material: NDArray[np.uint8], distance: NDArray[np.float32], settings: CutSettings
) -> Iterator[tuple[CutCandidate, tuple[int, int, int, int], NDArray[np.bool_]]]:
    """Keep what reaches the outline: a bright mark in the middle of the surface is no hole of the cut."""
    for candidate, region, own in _measured(mask, material, distance, settings, is_outside=False):
        x1, y1, x2, y2 = region
        if float(-distance[y1:y2, x1:x2][own].max()) <= settings.tolerance_px + _SPAN_PX:
            yield candidate, region, own


def _measured(
    mask: NDArray[np.bool_],
    material: NDArray[np.uint8],
    distance: NDArray[np.float32],
    settings: CutSettings,
    *,
    is_outside: bool,
) -> Iterator[tuple[CutCandidate, tuple[int, int, int, int], NDArray[np.bool_]]]:
    depth = distance if is_outside else -distance
    beyond = (mask & (depth > settings.tolerance_px)).astype(np.uint8)
    if not beyond.any():
        return
    joined = cv2.dilate(beyond, np.ones((settings.gap_px * 2 + 1,) * 2, np.uint8)) if settings.gap_px else beyond
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    height, width = mask.shape
    reach = int(np.ceil(settings.tolerance_px)) + 1
    for label in range(1, count):
        x, y, w, h = (int(value) for value in stats[label, :4])
        x1, y1, x2, y2 = max(0, x - reach), max(0, y - reach), min(width, x + w + reach), min(height, y + h + reach)
        of_label = labels[y1:y2, x1:x2] == label
        seed = of_label & (beyond[y1:y2, x1:x2] > 0)
        # Back to the outline: what lies within the tolerance belongs to it as well.
        grown = cv2.dilate(seed.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
        own = grown & mask[y1:y2, x1:x2] & (depth[y1:y2, x1:x2] > 0.3 * settings.tolerance_px)
        own |= seed
        share = material[y1:y2, x1:x2][own].astype(np.float64) / 255
        thick = cv2.distanceTransform(np.pad(own.astype(np.uint8), 1), cv2.DIST_L2, 5)
        yield (
            CutCandidate(
                is_outside=is_outside,
                corners=corners_of(own, x1, y1),
                depth_px=float(depth[y1:y2, x1:x2][seed].max()) + 0.5,
                thickness_px=2 * float(thick.max()) - 1,
                area_px=float((share if is_outside else 1 - share).sum()),
            ),
            (x1, y1, x2, y2),
            own,
        )


def corners_of(mask: NDArray[np.bool_], x: int, y: int) -> NDArray[np.float64]:
    """Return (N, 2) corners of the px of a mask's convex hull; a px reaches from its number to the next."""
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - mask[rows][:, ::-1].argmax(axis=1)
    ends = [np.stack([side, rows + down], axis=1) for side in (first, last) for down in (0, 1)]
    return np.asarray(np.concatenate(ends) + np.array([x, y]), np.float64)
