"""The outline of a reference part: found by grey value once, then measured to a fraction of a px on good parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError
from appliance.learning.rules.alignment import Matrix, Outline, callipers

_SPACING = 2
"""Every so many px of the contour one calliper."""
_BORDER_PX = 3
_BINS = 64
_FINER = 4  # the distance map is drawn so much larger
_BEYOND_PX = 2.0


def find_outline(reference: NDArray[np.uint8]) -> tuple[Outline, NDArray[np.float64]]:
    """Tell part from background.

    The background is the brightest or the darkest of three grey levels, whichever holds more of the frame's border.

    Args:
        reference: (H, W) uint8.
    Returns:
        The edge within the frame; (M, 2) the whole contour, frame border and all.
    Raises:
        DatasetError: No edge.
    """
    smooth = np.asarray(cv2.GaussianBlur(reference, (0, 0), 1.5), np.uint8)
    low, high = _two_thresholds(smooth)
    border = np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]])
    is_bright = int((border > high).sum()) > int((border <= low).sum())
    mask = ((smooth <= high) if is_bright else (smooth > low)).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        raise DatasetError("rules: expected a part that stands out from its background, got one grey value")
    contour = max(contours, key=cv2.contourArea)[:, 0].astype(np.float64)
    smoothed = np.stack([_smoothed(contour[:, axis]) for axis in (0, 1)], axis=1)
    tangents = np.roll(smoothed, -1, axis=0) - np.roll(smoothed, 1, axis=0)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], axis=1)  # OpenCV walks outer contours so that this is outside
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    inside = smoothed - 2 * normals
    if mask[tuple(_whole(inside, mask.shape).T[::-1])].mean() < 0.5:
        normals = -normals
    height, width = reference.shape
    is_within = (contour > _BORDER_PX) & (contour < np.array([width, height]) - 1 - _BORDER_PX)
    kept = np.asarray(is_within.all(axis=1), np.bool_)
    if kept.sum() < 40:
        raise DatasetError("rules: expected the outline of a part within the frame, got none")
    smoothed = np.where(kept[:, None], smoothed, contour)
    outline = Outline(smoothed[kept][::_SPACING], normals[kept][::_SPACING], bool(is_bright))
    return outline, smoothed


def measured(
    outline: Outline, contour: NDArray[np.float64], parts: Sequence[tuple[NDArray[np.uint8], Matrix]]
) -> tuple[Outline, NDArray[np.float64]]:
    """Move an outline to where good parts have their edge: the median of their callipers.

    Args:
        parts: Pixels and place of each.
    """
    rows = []
    for pixels, matrix in parts:
        offsets, is_found = callipers(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8), outline, matrix, 4.0)
        rows.append(np.where(is_found, offsets, np.nan))
    stack = np.array(rows)
    seen = np.isfinite(stack).sum(axis=0) * 2 > len(rows)
    middle = np.zeros(stack.shape[1])
    middle[seen] = np.nanmedian(stack[:, seen], axis=0)
    moved = replace(outline, points=outline.points + middle[:, None] * outline.normals)
    nearest = _nearest(contour, outline.points)
    return moved, contour + np.where(nearest >= 0, middle[nearest], 0.0)[:, None] * outline.normals[nearest]


def signed_distance(contour: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return (H, W) float32: px from the middle of each px to the contour, positive outside of the part."""
    height, width = shape
    drawn = contour.copy()
    for axis, length in ((0, width), (1, height)):  # where the frame cuts the part is no edge
        drawn[:, axis] = np.where(drawn[:, axis] <= 0.5, -_BEYOND_PX, drawn[:, axis])
        drawn[:, axis] = np.where(drawn[:, axis] >= length - 1.5, length + _BEYOND_PX, drawn[:, axis])
    mask = np.zeros((height * _FINER, width * _FINER), np.uint8)
    corners = np.round(((drawn + 0.5) * _FINER - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1, shift=4)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    signed = np.where(mask > 0, 0.5 - inside, outside - 0.5) / _FINER
    return np.asarray(cv2.resize(signed.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _two_thresholds(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Part the grey values into three classes so that they vary least within (Otsu's criterion)."""
    counts = np.bincount(pixels.ravel() // (256 // _BINS), minlength=_BINS).astype(np.float64)
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * np.arange(_BINS))])
    best, chosen = -1.0, (1, 2)
    for low in range(1, _BINS - 1):
        for high in range(low + 1, _BINS):
            edges = (0, low, high, _BINS)
            between = 0.0
            for first, last in pairwise(edges):
                total = weight[last] - weight[first]
                if total > 0:
                    between += (moment[last] - moment[first]) ** 2 / total
            if between > best:
                best, chosen = between, (low, high)
    step = 256 // _BINS
    return chosen[0] * step - 1.0, chosen[1] * step - 1.0


def _smoothed(values: NDArray[np.float64], sigma: float = 2.0) -> NDArray[np.float64]:
    reach = round(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    around = np.concatenate([values[-reach:], values, values[:reach]])
    return np.convolve(around, weights / weights.sum(), "valid")


def _whole(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.clip(np.rint(points), 0, np.array([shape[1], shape[0]]) - 1).astype(np.int64)


def _nearest(contour: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (M,) the nearest outline point of each contour point; -1 where none is near: the frame's border."""
    result = np.empty(len(contour), np.int64)
    for place, point in enumerate(contour):
        apart = ((points - point) ** 2).sum(axis=1)
        nearest = int(apart.argmin())
        result[place] = nearest if apart[nearest] <= (2.0 * _SPACING) ** 2 else -1
    return result
