"""Choose few images for calibration: half of them extremes, half of them what comes every day."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.modelling.pixels import Pixels, to_mono8
from appliance.modelling.quantise.calibration_set import Manifest

THUMBNAIL_PX = 16
GREY_BINS = 16

HOW = (
    f"half of them farthest-first (the most ordinary image, then again and again the one least like those chosen, by a "
    f"thumbnail of {THUMBNAIL_PX}x{THUMBNAIL_PX} px and a histogram of {GREY_BINS} grey values), the other half evenly "
    f"spaced among the rest, by name; labels and models play no part"
)


def choose_calibration(
    paths: Sequence[Path],
    folder: Path,
    read: Callable[[Path], tuple[Pixels, str]],
    *,
    name: str,
    source: str,
    licence: str,
    count: int,
    version: int = 1,
) -> Manifest:
    """Choose images that differ much, and name them by hash.

    Args:
        paths: What to choose from; all below `folder`.
        read: Decodes an image to pixels and their PFNC name.
        name, source, licence, version: Of the manifest.
    """
    chosen = [paths[place] for place in choose_diverse([describe(*read(path)) for path in paths], count)]
    return Manifest(
        schema_version=1,
        name=name,
        version=version,
        source=source,
        licence=licence,
        chosen=f"{len(chosen)} of {len(paths)} images, {HOW}",
        files={path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in chosen},
    )


def describe(pixels: Pixels, pixel_format: str) -> NDArray[np.float32]:
    """Return an image in few numbers: a thumbnail and a histogram, (THUMBNAIL_PX² + GREY_BINS,) float32."""
    grey = to_mono8(pixels, pixel_format)
    thumbnail = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    counts = np.bincount(grey.reshape(-1) >> 4, minlength=GREY_BINS)
    histogram = counts / np.float32(grey.size)
    return np.concatenate([thumbnail.reshape(-1) / np.float32(255 * THUMBNAIL_PX), histogram]).astype(np.float32)


def choose_diverse(descriptions: Sequence[NDArray[np.float32]], count: int) -> list[int]:
    """Return the indices of up to `count` images, sorted. The same images give the same choice."""
    table = np.stack(descriptions).astype(np.float64)
    if count >= len(table):
        return list(range(len(table)))
    extremes = _farthest_first(table, count - count // 2)
    rest = np.setdiff1d(np.arange(len(table)), extremes)
    usual = rest[np.linspace(0, len(rest) - 1, count // 2).round().astype(int)]
    return sorted({*extremes, *(int(place) for place in usual)})


def _farthest_first(table: NDArray[np.float64], count: int) -> list[int]:
    chosen = [int(np.argmin(np.linalg.norm(table - table.mean(axis=0), axis=1)))]
    distance = np.linalg.norm(table - table[chosen[0]], axis=1)
    while len(chosen) < count:
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(table - table[chosen[-1]], axis=1))
    return chosen
