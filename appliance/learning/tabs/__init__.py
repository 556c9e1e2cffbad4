"""Rendered pictures of die-cut electrode tabs, with exact labels.

Rendered, never photographed: whatever is measured on them is a figure of rendered parts, and says so.
"""

from appliance.learning.tabs.regime import CLASS_NAMES, REGIMES, RENDERER_VERSION, Regime
from appliance.learning.tabs.scene import RenderedPart, Truth, render

__all__ = ["CLASS_NAMES", "REGIMES", "RENDERER_VERSION", "Regime", "RenderedPart", "Truth", "render"]
