"""Where a part lies in the frame, and how outlines become anti-aliased coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.outline import Points
from appliance.learning.tabs.regime import Regime

SUPERSAMPLING = 3
_FRACTION_BITS = 4  # of the coordinates that OpenCV fills polygons by

Coverage = NDArray[np.float32]
"""(H, W) share of each px that something covers, 0..1."""
Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole px, x2 and y2 exclusive."""


@dataclass(frozen=True)
class Frame:
    """The sensor's frame and one part's place in it.

    Attributes:
        width_px, height_px: Of the frame.
        mm_per_px: Of the station; the part's own scale comes on top.
        placement: (2, 3) part's mm to px, where a px's middle is at a half.
    """

    width_px: int
    height_px: int
    mm_per_px: float
    placement: NDArray[np.float64]

    @classmethod
    def place(cls, regime: Regime, width_px: int, height_px: int, draws: Draws) -> Frame:
        """Lay a part under the camera, a bit off as the line's guides let it."""
        jitter = regime.jitter
        mm_per_px = regime.optics.field_width_mm / width_px
        scale = (1 + draws.within((-jitter.scale, jitter.scale))) / mm_per_px
        angle = np.radians(draws.within((-jitter.rotation_degrees, jitter.rotation_degrees)))
        x, y = (draws.within((-jitter.shift_mm, jitter.shift_mm)) / mm_per_px for _ in range(2))
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        placement = np.array([[cos, -sin, width_px / 2 + x], [sin, cos, height_px / 2 + y]])
        return cls(width_px, height_px, mm_per_px, placement)

    @property
    def whole(self) -> Region:
        """The region that is the frame."""
        return 0, 0, self.width_px, self.height_px

    def to_px(self, points_mm: Points) -> Points:
        """Return where points of the part are in the frame."""
        return points_mm @ self.placement[:, :2].T + self.placement[:, 2]

    def region_of(self, points_mm: Points, margin_px: float) -> Region:
        """Return the part of the frame around points; empty where they are all outside."""
        px = self.to_px(points_mm)
        x1, y1 = np.floor(px.min(axis=0) - margin_px).astype(int)
        x2, y2 = np.ceil(px.max(axis=0) + margin_px).astype(int)
        x1, y1 = max(0, int(x1)), max(0, int(y1))
        return x1, y1, max(x1, min(self.width_px, int(x2))), max(y1, min(self.height_px, int(y2)))

    def grid_mm(self, region: Region) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the part's x and y in mm at each sub-pixel of a region, to be averaged by `shrink`."""
        x1, y1, x2, y2 = region
        xs = x1 + (np.arange((x2 - x1) * SUPERSAMPLING) + 0.5) / SUPERSAMPLING
        ys = y1 + (np.arange((y2 - y1) * SUPERSAMPLING) + 0.5) / SUPERSAMPLING
        back = np.linalg.inv(self.placement[:, :2])
        x, y = np.meshgrid(xs - self.placement[0, 2], ys - self.placement[1, 2])
        return back[0, 0] * x + back[0, 1] * y, back[1, 0] * x + back[1, 1] * y

    def coverage(self, region: Region, filled: Sequence[Points], cleared: Sequence[Points] = ()) -> Coverage:
        """Fill polygons (mm), then clear others, and return what is covered of a region's px."""
        x1, y1, x2, y2 = region
        canvas = np.zeros(((y2 - y1) * SUPERSAMPLING, (x2 - x1) * SUPERSAMPLING), np.uint8)
        for polygons, value in ((filled, 255), (cleared, 0)):
            for polygon in polygons:
                sub_px = (self.to_px(polygon) - (x1, y1)) * SUPERSAMPLING - 0.5
                corners = np.round(sub_px * (1 << _FRACTION_BITS)).astype(np.int32)
                cv2.fillPoly(canvas, [corners], value, shift=_FRACTION_BITS)
        return shrink(canvas) * np.float32(1 / 255)


def shrink(canvas: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the sub-pixels of each px."""
    height, width = canvas.shape[0] // SUPERSAMPLING, canvas.shape[1] // SUPERSAMPLING
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
