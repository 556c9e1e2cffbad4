"""One part before it is seen: outline, place under the camera, what is wrong and what is merely not perfect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from appliance.learning.tabs.deviation import Deviation
from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.frame import Frame
from appliance.learning.tabs.outline import Outline, Points, cut
from appliance.learning.tabs.press import Press
from appliance.learning.tabs.regime import CLASS_NAMES, Regime

_COUNT_SHARES = (0.72, 0.22, 0.06)
"""Shares of defective parts with one, two, three defects."""


@dataclass(frozen=True)
class Part:
    """A part as it lies under the camera.

    Attributes:
        seed: All of it follows from seed, regime and frame size.
        border: (N, 2) mm, the coating's polygon.
        harmless: Deviations below the limits.
        defects: Deviations that are meant to be seen.
    """

    seed: int
    regime: Regime
    frame: Frame
    outline: Outline
    border: Points
    harmless: tuple[Deviation, ...]
    defects: tuple[Deviation, ...] = ()

    def draws(self, step: str) -> Draws:
        """Return the random numbers of one step."""
        return Draws(self.seed, f"{self.regime.name} {step}")

    def spoilt(self, kind: str | None = None, attempt: int = 0) -> Part:
        """Return the same part with defects.

        Args:
            kind: The class of its one defect; None: one to three of any class.
            attempt: Another number, other defects.
        """
        draws = self.draws(f"defects {attempt}")
        kinds = [kind] if kind else _kinds(draws)
        press = Press(self.regime, self.outline, self.frame.mm_per_px)
        return replace(self, defects=press.defects(kinds, self.harmless, draws))


def make_part(regime: Regime, seed: int, *, width_px: int, height_px: int) -> Part:
    """Make a good part.

    Args:
        regime: The station.
        seed: Of this part.
        width_px, height_px: Of the frame.
    """
    frame = Frame.place(regime, width_px, height_px, Draws(seed, f"{regime.name} place"))
    outline = cut(regime.shape, Draws(seed, f"{regime.name} outline"))
    border = _border(regime, Draws(seed, f"{regime.name} border"))
    press = Press(regime, outline, frame.mm_per_px)
    return Part(seed, regime, frame, outline, border, press.harmless(Draws(seed, f"{regime.name} harmless")))


def _kinds(draws: Draws) -> list[str]:
    count = 1 + int(draws.generator.choice(len(_COUNT_SHARES), p=_COUNT_SHARES))
    return [CLASS_NAMES[draws.pick(len(CLASS_NAMES))] for _ in range(count)]


def _border(regime: Regime, draws: Draws) -> Points:
    """Draw the coating's polygon: a rough upper border, the rest beyond the frame."""
    x = np.arange(-30.0, 30.0, 0.06)
    y = regime.shape.shoulder_y_mm + draws.within(regime.shape.strip_mm)
    deviation = draws.within(regime.shape.border_mm)
    rough = deviation * (0.8 * draws.smooth(len(x), 10) + 0.35 * draws.smooth(len(x), 2))
    return np.concatenate([np.stack([x, y + rough], axis=1), [[30.0, 30.0], [-30.0, 30.0]]])
