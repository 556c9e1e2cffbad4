"""Frames that look unlike those before them: brightness or sharpness far from the recent median.

Median and median absolute deviation, because the outliers themselves stand in the window too. A change that stays is
the usual thing after half a window: so a new lot is captured where it begins, and not for ever.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from statistics import median
from typing import Any

WINDOW = 64
LEAST = 20
"""So many frames must have been seen before any is called an outlier."""
MOST_DEVIATIONS = 6.0
"""In standard deviations, as the median deviation tells them: of normally distributed figures one in 500 million."""
_SIGMA_PER_MAD = 1.4826
_LEAST_SHARE = 0.01
"""A deviation counts at least as this share of the median: a still picture's figures hardly move at all."""


class OutlierRule:
    """Remembers each camera's last frames. Not thread-safe."""

    def __init__(self) -> None:
        self._windows: defaultdict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def judge(self, camera: str, figures: Mapping[str, float]) -> dict[str, Any] | None:
        """Hold a frame's figures against the window, then add them.

        Returns:
            The figure that is furthest off: name, value, the window's median, and how many deviations lie between.
        """
        found = [self._judge(camera, name, value) for name, value in figures.items()]
        off = [one for one in found if one is not None]
        return max(off, key=lambda one: float(one["deviations"])) if off else None

    def _judge(self, camera: str, name: str, value: float) -> dict[str, Any] | None:
        window = self._windows[camera, name]
        outlier = None
        if len(window) >= LEAST:
            usual = median(window)
            mad = median(abs(each - usual) for each in window)
            sigma = max(_SIGMA_PER_MAD * mad, _LEAST_SHARE * abs(usual), 1e-3)
            deviations = abs(value - usual) / sigma
            if deviations > MOST_DEVIATIONS:
                told = {"value": round(value, 3), "median": round(usual, 3), "deviations": round(deviations, 1)}
                outlier = {"figure": name, **told}
        window.append(value)
        return outlier
