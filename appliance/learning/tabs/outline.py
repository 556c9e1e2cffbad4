"""The die-cut outline of one part, with the waviness and wear of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.regime import Shape

Points = NDArray[np.float64]
"""(N, 2) x and y in mm of the part, or in px where the name says so."""

STEP_MM = 0.05
_REACH_MM = 30.0  # the electrode goes on beyond every frame

SECTIONS = ("left_shoulder", "left_root", "left_side", "left_corner", "top")
_RIGHT = ("right_corner", "right_side", "right_root", "right_shoulder")


@dataclass(frozen=True)
class Outline:
    """The cut line from left to right.

    Attributes:
        points: (N, 2) mm, about `STEP_MM` apart.
        normals: (N, 2) unit vectors away from the foil.
        spans: First and last index of each section.
    """

    points: Points
    normals: Points
    spans: dict[str, tuple[int, int]]

    def closed(self) -> Points:
        """Return the foil's polygon: the cut line and the electrode below it."""
        return np.concatenate([self.points, [[_REACH_MM, _REACH_MM], [-_REACH_MM, _REACH_MM]]])

    def middle(self, section: str) -> int:
        """Return the index in the middle of a section."""
        first, last = self.spans[section]
        return (first + last) // 2

    def window(self, middle: int, depth_mm: float) -> tuple[int, int]:
        """Return the indices, evenly to both sides of a corner, whose chord passes it at a distance."""
        reach = 2
        while middle - reach > 0 and middle + reach < len(self.points) - 1:
            chord = (self.points[middle - reach] + self.points[middle + reach]) / 2
            if np.linalg.norm(chord - self.points[middle]) >= depth_mm:
                break
            reach += 1
        return middle - reach, middle + reach


def cut(shape: Shape, draws: Draws) -> Outline:
    """Cut one part out."""
    nominal, spans = _nominal(shape)
    normals = _normals(nominal)
    slow = draws.smooth(len(nominal), shape.waviness_length_mm / STEP_MM) * draws.within(shape.waviness_mm)
    fast = draws.smooth(len(nominal), 1.5) * draws.within(shape.wear_mm)
    return Outline(nominal + normals * (slow + fast)[:, None], normals, spans)


def _nominal(shape: Shape) -> tuple[Points, dict[str, tuple[int, int]]]:
    """Draw the left half as the drawing has it, and mirror it."""
    foot, head = -shape.width_mm / 2, -shape.width_mm / 2 + shape.taper_mm
    root, top, shoulder = shape.root_radius_mm, shape.top_radius_mm, shape.shoulder_y_mm
    left = [
        _line((-_REACH_MM, shoulder), (foot - root, shoulder)),
        _arc((foot - root, shoulder - root), root, 90, 0),
        _line((foot, shoulder - root), (head, shape.top_y_mm + top)),
        _arc((head + top, shape.top_y_mm + top), top, 180, 270),
        _line((head + top, shape.top_y_mm), (-head - top, shape.top_y_mm)),
    ]
    right = [part[::-1] * (-1.0, 1.0) for part in left[-2::-1]]
    parts = [*left, *right]
    ends = np.cumsum([len(part) for part in parts])
    names = (*SECTIONS, *_RIGHT)
    spans = {name: (int(end) - len(part), int(end) - 1) for name, part, end in zip(names, parts, ends, strict=True)}
    return np.concatenate(parts), spans


def _line(start: tuple[float, float], end: tuple[float, float]) -> Points:
    count = max(2, round(float(np.hypot(end[0] - start[0], end[1] - start[1])) / STEP_MM))
    return np.linspace(start, end, count, endpoint=False)


def _arc(centre: tuple[float, float], radius: float, start_degrees: float, end_degrees: float) -> Points:
    length = radius * abs(np.radians(end_degrees - start_degrees))
    angles = np.radians(np.linspace(start_degrees, end_degrees, max(3, round(length / STEP_MM)), endpoint=False))
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)


def _normals(points: Points) -> Points:
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.stack([along[:, 1], -along[:, 0]], axis=1)
