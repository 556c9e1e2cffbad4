"""Where a part lies: a first guess by phase correlation, then callipers along the reference's outline.

A calliper is a line of samples across the expected edge; where its grey value changes most is the edge, to a fraction
of a px. Hundreds of them vote on shift, rotation and scale, and those on a defect are outvoted (Tukey's weights).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
"""(2, 3): px of the reference to px of the image."""

_REACHES_PX = (12.0, 7.0, 4.0, 4.0)
"""Of the callipers in each round."""
_STEP_PX = 0.5
_COARSE = 4
_LEAST_FOUND = 0.4
"""Of the callipers that must see an edge; with fewer there is no such part in the image."""
_TUKEY = 4.685


@dataclass(frozen=True)
class Outline:
    """The edge of a reference part.

    Attributes:
        points: (N, 2) float64 px of the reference, the middle of a px at a whole number.
        normals: (N, 2) unit vectors away from the part.
        is_brighter_outside: Of the edge.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    is_brighter_outside: bool


def align(pixels: NDArray[np.uint8], reference: NDArray[np.uint8], outline: Outline) -> Matrix | None:
    """Find the part of a reference in an image.

    Args:
        pixels, reference: (H, W) uint8, of one size.
    Returns:
        Shift, rotation and scale as one matrix; None where too little of the outline is there.
    """
    matrix = np.eye(2, 3)
    matrix[:, 2] = _coarse_shift(pixels, reference)
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)
    for reach_px in _REACHES_PX:
        offsets, is_found = callipers(smooth, outline, matrix, reach_px)
        if is_found.mean() < _LEAST_FOUND:
            return None
        matrix = _improved(matrix, outline, offsets, is_found)
    return matrix


def callipers(
    pixels: NDArray[np.uint8], outline: Outline, matrix: Matrix, reach_px: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Measure how far the edge lies off the outline.

    Args:
        pixels: (H, W) uint8, smoothed a little.
        reach_px: How far each calliper looks to both sides.
    Returns:
        (N,) px in the image along the normal, positive outside; (N,) bool, whether there is an edge.
    """
    along = np.arange(-reach_px, reach_px + _STEP_PX / 2, _STEP_PX)
    normals = outline.normals @ matrix[:, :2].T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    places = (outline.points @ matrix[:, :2].T + matrix[:, 2])[:, None] + along[None, :, None] * normals[:, None]
    x, y = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    profile = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    slope = (profile[:, 2:] - profile[:, :-2]) * (1 if outline.is_brighter_outside else -1)
    best = np.clip(slope.argmax(axis=1), 1, slope.shape[1] - 2)
    rows = np.arange(len(best))
    before, peak, after = slope[rows, best - 1], slope[rows, best], slope[rows, best + 1]
    bend = np.minimum(before + after - 2 * peak, -1e-9)
    fraction = np.clip((before - after) / (2 * bend), -1, 1)
    height, width = pixels.shape
    is_inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).all(axis=1)
    is_found = is_inside & (peak > 0.3 * np.median(peak)) & (peak > 4)
    return along[1:-1][best] + fraction * _STEP_PX, is_found


def _improved(matrix: Matrix, outline: Outline, offsets: NDArray[np.float64], is_found: NDArray[np.bool_]) -> Matrix:
    """Move, turn and scale so that the offsets vanish, least squares with Tukey's weights."""
    points = outline.points[is_found] @ matrix[:, :2].T + matrix[:, 2]
    normals = outline.normals[is_found] @ matrix[:, :2].T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    middle = points.mean(axis=0)
    x, y = (points - middle).T
    known = np.stack(
        [normals[:, 0], normals[:, 1], normals[:, 1] * x - normals[:, 0] * y, normals[:, 0] * x + normals[:, 1] * y], 1
    )
    wanted, weights = offsets[is_found], np.ones(int(is_found.sum()))
    change: NDArray[np.float64] = np.zeros(4)
    for _ in range(5):
        change = np.asarray(np.linalg.lstsq(known * weights[:, None], wanted * weights, rcond=None)[0], np.float64)
        rest = wanted - known @ change
        reach = _TUKEY * max(1.4826 * float(np.median(np.abs(rest))), 0.05)
        weights = np.sqrt(np.clip(1 - (rest / reach) ** 2, 0, 1) ** 2)
    shift, angle, scale = change[:2], change[2], 1 + change[3]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.empty((2, 3))
    moved[:, :2] = turn @ matrix[:, :2]
    moved[:, 2] = turn @ (matrix[:, 2] - middle) + middle + shift
    return moved


def _coarse_shift(pixels: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (2,) px by which the image's edges lie off the reference's."""
    one, other = _edges(reference), _edges(pixels)
    window = cv2.createHanningWindow(one.shape[::-1], cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(one, other, window)
    return np.array(shift) * _COARSE


def _edges(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = (pixels.shape[1] // _COARSE, pixels.shape[0] // _COARSE)
    small = cv2.GaussianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down), np.float32)
