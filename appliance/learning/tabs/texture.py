"""The grey values of foil, coating and background, before any outline, lens or sensor. Shares of full scale."""

from __future__ import annotations

import cv2
import numpy as np

from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.frame import Coverage
from appliance.learning.tabs.regime import Foil, Light

_WAVE_PX = 150  # a foil's waves
_CLOUD_PX = 14  # a coating's mottle
_STREAK_PX = 220  # length of a rolling mark


def foil(look: Foil, height: int, width: int, draws: Draws) -> Coverage:
    """Roll a foil: marks along the web, grain, and the waves of a sheet that nothing holds flat."""
    fine = _stretched(draws.field(height, width // _STREAK_PX + 2), height, width)
    broad = _stretched(draws.field(height // 4 + 2, width // (2 * _STREAK_PX) + 3), height, width)
    grain = cv2.GaussianBlur(draws.field(height, width), (0, 0), 0.6)
    waves = _coarse(height, width, _WAVE_PX, draws)
    relief = look.streaks * (0.7 * fine + 0.45 * broad) + look.grain * grain + look.undulation * waves
    sheet: Coverage = np.float32(look.grey) * (1 + relief)
    return sheet


def coating(look: Foil, height: int, width: int, draws: Draws) -> Coverage:
    """Coat: a matt powder, slightly cloudy."""
    grain = 1.6 * cv2.GaussianBlur(draws.field(height, width), (0, 0), 0.75)
    relief = look.coating_grain * grain + look.mottle * _coarse(height, width, _CLOUD_PX, draws)
    powder: Coverage = np.float32(look.coating_grey) * np.maximum(1 + relief, np.float32(0.2))
    return powder


def background(light: Light, height: int, width: int, draws: Draws) -> Coverage:
    """A lit plate or a dark roller, out of focus."""
    return np.float32(light.background) * (1 + light.background_mottle * _coarse(height, width, _WAVE_PX, draws))


def _coarse(height: int, width: int, size_px: int, draws: Draws) -> Coverage:
    return _stretched(draws.field(height // size_px + 3, width // size_px + 3), height, width)


def _stretched(field: Coverage, height: int, width: int) -> Coverage:
    return cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False)
