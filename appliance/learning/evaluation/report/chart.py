"""Line charts and bar charts as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

_WIDTH, _HEIGHT = 560, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 14, 12, 46
_FEWEST_STEPS = 4
"""Of an axis, between its ticks."""


@dataclass
class Chart:
    """A plot area with axes; marks are added, then `svg` is taken.

    Attributes:
        x_limits, y_limits: Values at the ends of the axes.
        is_share: Whether the y axis is written in percent.
    """

    x_title: str
    y_title: str
    x_limits: tuple[float, float] = (0.0, 1.0)
    y_limits: tuple[float, float] = (0.0, 1.0)
    is_share: bool = False
    _marks: list[str] = field(default_factory=list)

    def line(self, x: ArrayLike, y: ArrayLike, colour: str, *, is_dashed: bool = False) -> None:
        """Add a line through points."""
        dash = ' stroke-dasharray="5 4"' if is_dashed else ""
        path = self._path(x, y)
        self._marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str) -> None:
        """Add an area between two lines."""
        path = f"{self._path(x, low)} {' '.join(reversed(self._path(x, high).split(' ')))}"
        self._marks.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="0.16"/>')

    def bars(self, edges: ArrayLike, counts: ArrayLike, colour: str) -> None:
        """Add a histogram: (B + 1,) edges and (B,) counts."""
        xs, floor = self._x(edges), float(self._y([self.y_limits[0]])[0])
        for left, right, top in zip(xs[:-1], xs[1:], self._y(counts), strict=True):
            if top < floor:
                self._marks.append(
                    f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{floor - top:.1f}" '
                    f'fill="{colour}" fill-opacity="0.55"/>'
                )

    def upright(self, x: float, text: str) -> None:
        """Add a vertical line with a text beside it."""
        place = float(self._x([x])[0])
        side, shift = ("end", -5) if place > _WIDTH * 0.7 else ("start", 5)
        self._marks.append(
            f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class="ink" '
            'stroke-dasharray="3 3"/>'
            f'<text x="{place + shift:.1f}" y="{_TOP + 12}" text-anchor="{side}" fill="currentColor">'
            f"{escape(text)}</text>"
        )

    def svg(self, description: str) -> str:
        """Return the chart; the description is for those who can't see it."""
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(description)}">'
            f'<g class="axis">{"".join(self._axes())}</g>{"".join(self._marks)}</svg>'
        )

    def _axes(self) -> list[str]:
        floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        places = {value: float(self._x([value])[0]) for value in ticks(self.x_limits)}
        parts = [_text(x, floor + 17, "middle", f"{value:.4g}") for value, x in places.items()]
        for value in ticks(self.y_limits):
            y = float(self._y([value])[0])
            written = f"{value * 100:.4g} %" if self.is_share else f"{value:.4g}"
            parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(_LEFT - 7, y + 4, "end", written))
        middle = (_TOP + floor) / 2
        parts.append(_text((_LEFT + right) / 2, _HEIGHT - 8, "middle", self.x_title))
        parts.append(_text(14, middle, "middle", self.y_title, f' transform="rotate(-90 14 {middle:.1f})"'))
        return parts

    def _path(self, x: ArrayLike, y: ArrayLike) -> str:
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(self._x(x), self._y(y), strict=True))

    def _x(self, values: ArrayLike) -> NDArray[np.float64]:
        return _LEFT + _share(values, self.x_limits) * (_WIDTH - _RIGHT - _LEFT)

    def _y(self, values: ArrayLike) -> NDArray[np.float64]:
        return _HEIGHT - _BOTTOM - _share(values, self.y_limits) * (_HEIGHT - _BOTTOM - _TOP)


def ticks(limits: tuple[float, float]) -> list[float]:
    """Return round values within the limits, in order: multiples of 1, 2 or 5 times a power of ten."""
    low, high = limits
    power = 10.0 ** np.floor(np.log10((high - low) / _FEWEST_STEPS))
    step = max(factor * power for factor in (1, 2, 5) if factor * power * _FEWEST_STEPS <= (high - low) * (1 + 1e-9))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(number * step) + 0.0 for number in np.arange(first, last + 1)]


def whiskers(rows: Sequence[tuple[str, float, tuple[float, float], str]], limit: float) -> str:
    """Draw differences with their intervals below each other, on an axis from `-limit` to `limit`.

    Args:
        rows: Name, difference, interval and colour of each.
    """
    left, right, step = 150, _WIDTH - 24, 30
    height = step * len(rows) + 34

    def x(value: float) -> float:
        return left + (value + limit) / (2 * limit) * (right - left)

    parts = [f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{height - 26}" class="ink" stroke-dasharray="3 3"/>']
    for row, (name, value, ends, colour) in enumerate(rows):
        y = 18 + step * row
        parts += [
            _text(left - 10, y + 4, "end", name),
            f'<line x1="{x(ends[0]):.1f}" x2="{x(ends[1]):.1f}" y1="{y}" y2="{y}" style="{_thick(colour)}"/>',
            f'<circle cx="{x(value):.1f}" cy="{y}" r="5" fill="{colour}"/>',
        ]
    parts += [_text(x(value), height - 6, "middle", f"{value:+.2g}") for value in (-limit, 0.0, limit)]
    label = "differences with 95 % intervals"
    drawn = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}" class="axis">{drawn}</svg>'


def _thick(colour: str) -> str:
    return f"stroke: {colour}; stroke-width: 5; stroke-opacity: 0.4; stroke-linecap: round"


def _text(x: float, y: float, anchor: str, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _share(values: ArrayLike, limits: tuple[float, float]) -> NDArray[np.float64]:
    return np.clip((np.asarray(values, np.float64) - limits[0]) / (limits[1] - limits[0]), 0.0, 1.0)
