"""Marks on a surface: creases and scratches along a line, and blots. They change grey values, not the outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.tabs.frame import Coverage, Frame, Region, shrink
from appliance.learning.tabs.outline import Points

_SCRATCH_REACH, _FOLD_REACH = 4.0, 7.0
"""Deviations from its line where a mark's profile ends."""


class Mark(Protocol):
    """Something on the surface."""

    def extent(self) -> Points:
        """Return points in mm around it."""

    def strength(self, frame: Frame, region: Region) -> Coverage:
        """Return how strongly it shows at each px of a region, 0..1: the ground truth."""

    def paint(self, radiance: Coverage, frame: Frame, region: Region) -> Coverage:
        """Return the radiance of a region with the mark on it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A scratch (one bright or dark line) or a fold (a bright and a dark flank, one side tilted).

    Attributes:
        centre: (2,) mm. angle: Radians from the x axis.
        length_mm, sigma_mm: Along and across. bend_per_mm: Curvature of the line.
        contrast: Greatest relative change of grey value, with its sign.
        is_fold: Two flanks instead of one line.
        gaps: (n,) shares 0..1 of the contrast, evenly along the line.
        wander_mm: (n,) how far the line leaves its curve, evenly along it.
    """

    centre: Points
    angle: float
    length_mm: float
    sigma_mm: float
    bend_per_mm: float
    contrast: float
    is_fold: bool
    gaps: NDArray[np.float64]
    wander_mm: NDArray[np.float64]

    def extent(self) -> Points:
        """Return the corners of the line's own rectangle."""
        half = self.length_mm / 2
        sag = abs(self.bend_per_mm) * half**2
        across = (_FOLD_REACH if self.is_fold else _SCRATCH_REACH) * self.sigma_mm + sag + np.abs(self.wander_mm).max()
        corners = np.array([[-half, -across], [half, -across], [half, across], [-half, across]])
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned: Points = corners @ np.array([[cos, sin], [-sin, cos]]) + self.centre
        return turned

    def strength(self, frame: Frame, region: Region) -> Coverage:
        """Return the profile's magnitude, shadow of a fold's tilted side left out."""
        share, across = self._local(frame, region)
        return shrink((self._along(share) * np.abs(self._flanks(across))).astype(np.float32))

    def paint(self, radiance: Coverage, frame: Frame, region: Region) -> Coverage:
        """Brighten and darken by the profile."""
        share, across = self._local(frame, region)
        profile = self._flanks(across)
        if self.is_fold:  # the foil behind the crease leans, and comes back to flat
            profile = profile + 0.45 * np.exp(-np.abs(across) / (2 * self.sigma_mm)) * (across > 0)
        change = shrink((self._along(share) * profile).astype(np.float32)) * np.float32(self.contrast)
        return np.maximum(radiance * (1 + change), 0)

    def _local(self, frame: Frame, region: Region) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x, y = frame.grid_mm(region)
        x, y = x - self.centre[0], y - self.centre[1]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along = cos * x + sin * y
        share = along / self.length_mm + 0.5
        wander = np.interp(share, np.linspace(0, 1, len(self.wander_mm)), self.wander_mm)
        return share, cos * y - sin * x - self.bend_per_mm * along**2 - wander

    def _along(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.clip(np.minimum(share, 1 - share), 0, 0.5)
        ends = np.sin(np.pi * inside) if self.is_fold else np.minimum(8 * inside, 1)
        strength: NDArray[np.float64] = ends * np.interp(share, np.linspace(0, 1, len(self.gaps)), self.gaps)
        return strength

    def _flanks(self, across: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = across / self.sigma_mm
        bell = np.exp(-0.5 * steps**2)
        return steps * bell * np.exp(0.5) if self.is_fold else bell


@dataclass(frozen=True, kw_only=True)
class Blot:
    """A grain, drop or smear.

    Attributes:
        outline: (N, 2) mm. grey: Its own grey value, share of full scale. opacity: 0..1.
        relief: (n, n) float32, relative deviations of its grey value, spread over it.
    """

    outline: Points
    grey: float
    opacity: float
    relief: Coverage

    def extent(self) -> Points:
        """Return its outline."""
        return self.outline

    def strength(self, frame: Frame, region: Region) -> Coverage:
        """Return how much of each px it covers."""
        return frame.coverage(region, [self.outline])

    def paint(self, radiance: Coverage, frame: Frame, region: Region) -> Coverage:
        """Lay it over what is there."""
        cover = self.strength(frame, region) * np.float32(self.opacity)
        size = (cover.shape[1], cover.shape[0])
        own = np.float32(self.grey) * (1 + cv2.resize(self.relief, size, interpolation=cv2.INTER_CUBIC))
        painted: Coverage = radiance * (1 - cover) + own * cover
        return painted
