"""What good parts look like: a whitened, thinned-out set of their features. NumPy only, the same for the same input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]

DIMENSIONS = 64
"""Directions of the features that are kept, the strongest ones."""
CHOSEN_FROM = 20_000
"""Places that the memory is chosen from, drawn at random where there are more."""
_FLOOR = 0.01
"""Share of the strongest direction's variance that is added to all: weak directions are noise, not signal."""


@dataclass(frozen=True)
class Memory:
    """Places of good pictures, as points.

    Attributes:
        mean: (C,) float32, of the features.
        whitening: (C, D) float32: `(feature - mean) @ whitening` is a point.
        position_weight: What a whole width or height of the picture is worth as a distance between points.
        points: (K, D + 2) float32: the kept points, with x and y, 0..1, times the weight.
    """

    mean: _Array
    whitening: _Array
    position_weight: float
    points: _Array

    @property
    def dimensions(self) -> int:
        """Length of a point without its position."""
        return int(self.whitening.shape[1])


def remember(features: _Array, size: int, position_weight: float, seed: int = 0) -> Memory:
    """Keep `size` places of good pictures, far from each other (greedy k-centre, as PatchCore).

    Args:
        features: (N, C, h, w) float32 of N good pictures.
    """
    places = features.transpose(0, 2, 3, 1).reshape(-1, features.shape[1])
    positions = np.tile(grid_positions(*features.shape[2:]).reshape(2, -1).T, (len(features), 1))
    mean = places.mean(axis=0)
    whitening = _whitening(places - mean)
    points = np.concatenate([(places - mean) @ whitening, positions * position_weight], axis=1).astype(np.float32)
    random = np.random.default_rng(seed)
    if len(points) > CHOSEN_FROM:
        points = points[np.sort(random.choice(len(points), CHOSEN_FROM, replace=False))]
    return Memory(mean.astype(np.float32), whitening, position_weight, points[_far_apart(points, size)])


def grid_positions(height: int, width: int) -> _Array:
    """Give x and y of each place of a grid, (2, h, w) float32 in 0..1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([x / np.float32(width), y / np.float32(height)])


def _whitening(centred: _Array) -> _Array:
    variances, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    strongest = np.argsort(-variances)[:DIMENSIONS]
    spread = np.sqrt(np.maximum(variances[strongest], 0) + _FLOOR * max(variances.max(), 1e-12))
    whitening: _Array = (directions[:, strongest] / spread).astype(np.float32)
    return whitening


def _far_apart(points: _Array, size: int) -> list[int]:
    """Choose points so that every other one is near a chosen one: each time the farthest from all chosen."""
    chosen = [0]
    nearest = ((points - points[0]) ** 2).sum(axis=1)
    while len(chosen) < min(size, len(points)):
        farthest = int(nearest.argmax())
        if nearest[farthest] <= 0:
            break
        chosen.append(farthest)
        nearest = np.minimum(nearest, ((points - points[farthest]) ** 2).sum(axis=1))
    return chosen
