"""What good parts look like, and how much they vary: outline, grey levels, and the relief of the surface.

The classical variation model: each px of the surface knows its usual value and its usual spread, so that what varies on
good parts (the border of a coating) is no defect. Learned from a few good parts, laid over each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError
from appliance.learning.rules.alignment import Matrix, Outline, align
from appliance.learning.rules.silhouette import find_outline, measured, signed_distance

LEAST_PARTS = 5
_SPREAD_SHARE = 0.9
"""Of the good parts deviate less: a grain of dust on one of thirty good parts must not blind the rules there."""
_NORMAL_AT_90 = 1.645
_LEAST_SPREAD = 0.005
_UNKNOWN_SPREAD = 100.0  # nothing is ever beyond: too few good parts showed this px
_FINE_SIGMAS_PX = (0.8, 5.0)
_BROAD_SIGMAS_PX = (2.2, 12.0)
BROAD_STEP = 2
"""Creases and lines are looked for in an image half as large."""
_LINE_SIGMA_PX = 5.0
_LINE_REACH = 5  # px of the half-size image to both sides
_DIRECTIONS = 8
_PART_OF_LINE = 0.4  # a px's own relief as a share of its line's

Relief = NDArray[np.float32]
"""Grey value against its surroundings, as a share."""


@dataclass(frozen=True)
class Normal:
    """The usual value of a relief and its spread on good parts."""

    middle: Relief
    spread: Relief

    @classmethod
    def of(cls, reliefs: Sequence[Relief], valid: Sequence[NDArray[np.bool_]]) -> Normal:
        """Learn from aligned reliefs of good parts, px by px."""
        there = np.array(valid)
        is_known = there.sum(axis=0) * 2 > len(reliefs)
        stack = np.where(there, np.array(reliefs), np.float32(0))
        half, most = len(reliefs) // 2, min(len(reliefs) - 1, round(_SPREAD_SHARE * len(reliefs)))
        middle = np.partition(stack, half, axis=0)[half]
        spread = np.partition(np.abs(stack - middle), most, axis=0)[most] / np.float32(_NORMAL_AT_90)
        wide = cv2.GaussianBlur(cv2.dilate(spread, np.ones((9, 9), np.uint8)), (0, 0), 2.0) + _LEAST_SPREAD
        return cls(middle, np.where(is_known, wide, _UNKNOWN_SPREAD).astype(np.float32))

    def deviation(self, relief: Relief) -> Relief:
        """Return by how many spreads a relief is off, with its sign."""
        return (relief - self.middle) / self.spread


@dataclass(frozen=True)
class Reliefs:
    """How a surface differs from its own surroundings.

    Attributes:
        fine: (H, W) for grains. broad: (h, w) for creases, at half the size.
        lines: `_DIRECTIONS` times (h, w), averaged along a short line of each direction, at half the size.
    """

    fine: Relief
    broad: Relief
    lines: tuple[Relief, ...]


@dataclass(frozen=True)
class Reference:
    """A golden part.

    Attributes:
        image: (H, W) uint8, the median of the good parts.
        distance: (H, W) float32, px to the outline, positive outside.
        background, edge_grey: (H, W) float32, grey of the background and of the material at the edge.
        ground: (H, W) float32, grey of the surface; outside it goes on as the edge.
        fine, broad, lines: What is normal of the surface's `Reliefs`.
        part_count: Good parts that it was learned from.
    """

    image: NDArray[np.uint8]
    outline: Outline
    distance: NDArray[np.float32]
    background: NDArray[np.float32]
    edge_grey: NDArray[np.float32]
    ground: NDArray[np.float32]
    fine: Normal
    broad: Normal
    lines: tuple[Normal, ...]
    part_count: int


@dataclass(frozen=True)
class Laid:
    """One image laid over the reference.

    Attributes:
        matrix: Reference to image.
        pixels: (H, W) float32 in the reference's frame, as bright as the reference.
        is_valid: (H, W) bool, where the image has pixels.
    """

    matrix: Matrix
    pixels: NDArray[np.float32]
    is_valid: NDArray[np.bool_]


def learn(images: Sequence[NDArray[np.uint8]]) -> Reference:
    """Make a reference of good parts.

    Args:
        images: (H, W) uint8, all of one size.
    Raises:
        DatasetError: Too few parts, different sizes, or parts that don't fit each other.
    """
    if len(images) < LEAST_PARTS:
        raise DatasetError(f"rules: expected at least {LEAST_PARTS} good parts for a reference, got {len(images)}")
    if len({image.shape for image in images}) > 1:
        raise DatasetError(
            "rules: expected good parts of one image size, got several; a golden reference needs a fixed view"
        )
    image = images[0]
    for _ in range(2):  # the second time against a median instead of one part's own edge
        outline, contour = find_outline(image)
        placed = _placed(images, image, outline)
        image = np.median([_warped(pixels, matrix)[0] for pixels, matrix in placed], axis=0).astype(np.uint8)
    outline, contour = measured(outline, contour, placed)
    distance = signed_distance(contour, image.shape)
    grey = image.astype(np.float32)
    background = _spread_out(grey, distance > 4, 25.0)
    edge_grey = _spread_out(grey, (distance < -2.5) & (distance > -9), 12.0)
    ground = np.where(distance < -2, cv2.GaussianBlur(grey, (0, 0), 1.0), edge_grey)
    ground = np.maximum(ground, 4.0).astype(np.float32)
    laid = [_laid(pixels, matrix, distance, background) for pixels, matrix in placed]
    reliefs = [relief(one, distance, ground) for one in laid]
    valid = [one.is_valid for one in laid]
    half = [one[::BROAD_STEP, ::BROAD_STEP] for one in valid]
    return Reference(
        image=image,
        outline=outline,
        distance=distance,
        background=background,
        edge_grey=edge_grey,
        ground=ground,
        fine=Normal.of([one.fine for one in reliefs], valid),
        broad=Normal.of([one.broad for one in reliefs], half),
        lines=tuple(Normal.of([one.lines[way] for one in reliefs], half) for way in range(_DIRECTIONS)),
        part_count=len(placed),
    )


def lay_over(pixels: NDArray[np.uint8], reference: Reference) -> Laid | None:
    """Find the part in an image and bring it to the reference's place and brightness; None: no such part."""
    matrix = align(pixels, reference.image, reference.outline)
    return None if matrix is None else _laid(pixels, matrix, reference.distance, reference.background)


def relief(laid: Laid, distance: NDArray[np.float32], ground: NDArray[np.float32]) -> Reliefs:
    """Look at the surface in three bands; outside of the part there is no relief."""
    share = np.where(distance < -1, laid.pixels / ground, 1.0).astype(np.float32)
    size = (share.shape[1] // BROAD_STEP, share.shape[0] // BROAD_STEP)
    small = np.asarray(cv2.resize(share, size, interpolation=cv2.INTER_AREA), np.float32)
    thin = small - cv2.GaussianBlur(small, (0, 0), _LINE_SIGMA_PX / BROAD_STEP)
    return Reliefs(
        fine=_band(share, *_FINE_SIGMAS_PX),
        broad=_band(small, *(sigma / BROAD_STEP for sigma in _BROAD_SIGMAS_PX)),
        lines=tuple(_along(thin, way) for way in range(_DIRECTIONS)),
    )


def _along(thin: Relief, way: int) -> Relief:
    """Average along short lines; only px that are part of the line count, not those beside it."""
    averaged = np.asarray(cv2.filter2D(thin, -1, _line(way)), np.float32)
    return np.where(thin * averaged > _PART_OF_LINE * averaged * averaged, averaged, np.float32(0))


def strongest(normals: Sequence[Normal], reliefs: Sequence[Relief]) -> tuple[Relief, Relief]:
    """Return the deviation and the relief of that direction, px by px, which deviates most."""
    deviation, chosen = normals[0].deviation(reliefs[0]), reliefs[0]
    for normal, one in zip(normals[1:], reliefs[1:], strict=True):
        other = normal.deviation(one)
        is_more = np.abs(other) > np.abs(deviation)
        deviation, chosen = np.where(is_more, other, deviation), np.where(is_more, one, chosen)
    return deviation, chosen


def _line(way: int) -> NDArray[np.float32]:
    """Return weights along a line through the middle, in one of the directions."""
    angle = np.pi * way / _DIRECTIONS
    place = np.arange(-_LINE_REACH, _LINE_REACH + 1)
    x, y = np.meshgrid(place, place)
    across = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    weights = np.clip(1 - across, 0, 1) * (along <= _LINE_REACH)
    return np.asarray(weights / weights.sum(), np.float32)


def _placed(
    images: Sequence[NDArray[np.uint8]], reference: NDArray[np.uint8], outline: Outline
) -> list[tuple[NDArray[np.uint8], Matrix]]:
    found = [(pixels, align(pixels, reference, outline)) for pixels in images]
    placed = [(pixels, matrix) for pixels, matrix in found if matrix is not None]
    if len(placed) < LEAST_PARTS:
        raise DatasetError(
            f"rules: expected good parts of one outline, got {len(placed)} of {len(images)} that fit the first; "
            "a golden reference needs parts of one shape in a fixed view"
        )
    return placed


def _warped(pixels: NDArray[np.uint8], matrix: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    size = pixels.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(pixels, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    there = cv2.warpAffine(np.full(pixels.shape, 255, np.uint8), matrix, size, flags=flags)
    return np.asarray(warped, np.uint8), np.asarray(there == 255, np.bool_)


def _laid(
    pixels: NDArray[np.uint8], matrix: Matrix, distance: NDArray[np.float32], background: NDArray[np.float32]
) -> Laid:
    warped, is_valid = _warped(pixels, matrix)
    beside = (distance[::4, ::4] > 6) & is_valid[::4, ::4]
    gain = (
        float(np.median(background[::4, ::4][beside] / np.maximum(warped[::4, ::4][beside], 1)))
        if beside.any()
        else 1.0
    )
    return Laid(matrix, warped.astype(np.float32) * np.float32(gain), is_valid)


def _band(values: Relief, inner: float, outer: float) -> Relief:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), inner) - cv2.GaussianBlur(values, (0, 0), outer), np.float32)


def _spread_out(grey: NDArray[np.float32], known: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float32]:
    """Carry grey values on smoothly to where they aren't known."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma_px)
    total = cv2.GaussianBlur(grey * known, (0, 0), sigma_px)
    fallback = float(np.median(grey[known])) if known.any() else float(np.median(grey))
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), fallback).astype(np.float32)
