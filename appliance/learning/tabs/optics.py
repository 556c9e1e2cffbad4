"""From a scene's radiance to grey values: light falling off, blur, and the sensor's noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.frame import Coverage
from appliance.learning.tabs.regime import Regime

_FULL_SCALE = 255.0


class Camera:
    """One exposure: everything but the scene is drawn before it is shown anything, so two scenes compare.

    Args:
        regime: The station.
        width_px, height_px: Of the frame.
        draws: Of the part.
    """

    def __init__(self, regime: Regime, width_px: int, height_px: int, draws: Draws) -> None:
        light, optics, difficulty = regime.light, regime.optics, regime.difficulty
        self.defocus_px = draws.within(optics.defocus_px) * difficulty.blur
        self.motion_px = draws.within(optics.motion_px) * difficulty.blur
        self.lamp = 1 + draws.within((-light.drift, light.drift))
        self._light = np.float32(self.lamp) * _illumination(regime, width_px, height_px)
        self._noise = draws.field(height_px, width_px) * np.float32(difficulty.noise)
        self._electrons = optics.full_well_e / _FULL_SCALE
        self._read_noise_e = optics.read_noise_e

    def look(self, radiance: Coverage) -> Coverage:
        """Return the grey values (0..255, float32) behind the optics, without noise.

        Args:
            radiance: (H, W), share of full scale.
        """
        lit = radiance * self._light * np.float32(_FULL_SCALE)
        blurred = cv2.GaussianBlur(lit, (0, 0), self.defocus_px, borderType=cv2.BORDER_REPLICATE)
        if self.motion_px > 0:
            blurred = cv2.filter2D(blurred, -1, _motion(self.motion_px), borderType=cv2.BORDER_REPLICATE)
        return blurred.astype(np.float32, copy=False)

    def expose(self, seen: Coverage) -> NDArray[np.uint8]:
        """Add the sensor's noise to what `look` returned, and digitise. (H, W) uint8."""
        variance = np.maximum(seen, 0) / np.float32(self._electrons) + np.float32(
            (self._read_noise_e / self._electrons) ** 2
        )
        noisy = seen + self._noise * np.sqrt(variance)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _illumination(regime: Regime, width_px: int, height_px: int) -> Coverage:
    """Vignetting, the lamp's gradient and the sensor's columns: the station's own, the same on every frame."""
    light, optics = regime.light, regime.optics
    half = np.hypot(width_px, height_px) / 2
    x = (np.arange(width_px, dtype=np.float32) + 0.5 - width_px / 2) / np.float32(half)
    y = ((np.arange(height_px, dtype=np.float32) + 0.5 - height_px / 2) / np.float32(half))[:, None]
    angle = np.radians(light.gradient_degrees)
    lamp = 1 + np.float32(light.gradient) * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
    columns = Draws(0, f"columns of {regime.name}").generator.standard_normal(width_px, dtype=np.float32)
    field = (
        (1 - np.float32(optics.vignetting) * (x * x + y * y)) * lamp * (1 + np.float32(optics.column_gain) * columns)
    )
    return field.astype(np.float32, copy=False)


def _motion(length_px: float) -> NDArray[np.float32]:
    """A row of weights as long as the way; its ends carry the fraction."""
    reach = int(np.ceil((length_px + 1) / 2))
    places = np.abs(np.arange(-reach, reach + 1))
    weights = np.clip((length_px + 1) / 2 - places + 0.5, 0, 1)
    row: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)[None, :]
    return row
