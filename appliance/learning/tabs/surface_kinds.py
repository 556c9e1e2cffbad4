"""Deviations of the surface: fold, scratch, contamination. Each function draws one of a given size."""

from __future__ import annotations

import numpy as np

from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.outline import Points
from appliance.learning.tabs.regime import Regime
from appliance.learning.tabs.surface import Blot, Line


def fold(regime: Regime, length_mm: float, draws: Draws) -> Line:
    """Draw a crease across the tab."""
    angle = draws.within((-1.1, 1.1))
    return Line(
        centre=on_tab(regime, length_mm / 2, angle, draws),
        angle=angle,
        length_mm=length_mm,
        sigma_mm=draws.within((0.08, 0.14)) + 0.04 * length_mm * draws.within((0.4, 1.0)),
        bend_per_mm=draws.within((-0.04, 0.04)),
        contrast=draws.within((0.25, 0.50)) * draws.sign() * regime.difficulty.contrast,
        is_fold=True,
        gaps=1 - draws.within((0.0, 0.5)) * draws.generator.random(4),
        wander_mm=draws.within((0.01, 0.025)) * length_mm * draws.smooth(9, 1.5),
    )


def scratch(regime: Regime, length_mm: float, draws: Draws) -> Line:
    """Draw a fine line, bright where it is fresh, dark where it is deep; it may skip."""
    angle = draws.within((-np.pi / 2, np.pi / 2))
    return Line(
        centre=on_tab(regime, length_mm / 2, angle, draws),
        angle=angle,
        length_mm=length_mm,
        sigma_mm=draws.within((0.022, 0.05)),
        bend_per_mm=draws.within((-0.03, 0.03)),
        contrast=draws.within((0.40, 0.75)) * (1.0 if draws.chance(0.65) else -0.8) * regime.difficulty.contrast,
        is_fold=False,
        gaps=1 - draws.within((0.0, 0.7)) * draws.generator.random(9),
        wander_mm=draws.within((0.0, 0.012)) * length_mm * draws.smooth(9, 1.5),
    )


def contamination(regime: Regime, diameter_mm: float, draws: Draws) -> Blot:
    """Draw a grain of coating or dirt on the foil, or a bright flake on the coating."""
    is_on_coating = draws.chance(0.2)
    if is_on_coating:
        ground = regime.foil.coating_grey
        centre = np.array([draws.within((-12.5, 12.5)), draws.within((4.2, 9.5))])
        grey = ground + draws.within((0.22, 0.40)) * regime.difficulty.contrast
    else:
        ground = regime.foil.grey
        centre = on_tab(regime, diameter_mm / 2, 0.0, draws)
        grey = ground * (1 - draws.within((0.45, 0.85)) * regime.difficulty.contrast)
    outline = centre + _blob(diameter_mm, draws)
    return Blot(outline=outline, grey=grey, opacity=draws.within((0.7, 1.0)), relief=0.22 * draws.field(5, 5))


def on_tab(regime: Regime, reach_mm: float, angle: float, draws: Draws) -> Points:
    """Draw a middle from which something reaches both ways and stays on the tab's foil."""
    shape = regime.shape
    half_width = shape.width_mm / 2 - shape.taper_mm - 0.5
    top, bottom = shape.top_y_mm + 0.6, shape.shoulder_y_mm
    across = max(0.0, half_width - abs(np.cos(angle)) * reach_mm)
    down = abs(np.sin(angle)) * reach_mm
    low, high = min(top + down, (top + bottom) / 2), max(bottom - down, (top + bottom) / 2)
    return np.array([draws.within((-across, across)), draws.within((low, high))])


def _blob(diameter_mm: float, draws: Draws) -> Points:
    """Draw an irregular closed outline around the origin; its greatest width is the diameter."""
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    radius = np.ones(len(angles))
    for order in (2, 3, 4, 7):
        radius += draws.within((0, 0.7 / order)) * np.cos(order * angles + draws.within((0, 2 * np.pi)))
    points = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    width = float(np.max(np.linalg.norm(points[:, None] - points[None], axis=2)))
    return points * (diameter_mm / width)
