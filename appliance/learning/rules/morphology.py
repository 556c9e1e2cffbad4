"""Rules for printed circuit boards without any template: what is too small, too thin or too near to be meant.

Small holes and islands; what an opening removes (spurs, and shorts where it joins two); what a closing fills
(mousebites, and opens where it joins two). A design's own holes, text and narrow gaps look the same to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.config.confined import ConfinedModel
from appliance.learning.datasets import LabelledImage
from appliance.learning.rules.board import KINDS, BoardCandidate, Mask, copper_of, disk, groups, pieces, touched
from appliance.learning.rules.candidate import Called
from appliance.learning.rules.parameter import RuleParameters, parameter

_SURROUNDINGS_PX = 3


class MorphologyFind(ConfinedModel):
    """What is a candidate."""

    threshold_grey: float = parameter(128, 40, 215, "grey", "darker is copper")
    opening_px: int = parameter(3, 1, 8, "px", "copper thinner than twice this and a px is looked at")
    closing_px: int = parameter(3, 1, 8, "px", "gaps narrower than twice this and a px are looked at")


class MorphologyLimits(ConfinedModel):
    """From where on, and up to where, a candidate is a defect."""

    hole_least_px: float = parameter(4, 1, 100, "px²", "least area of a pin-hole")
    hole_most_px: float = parameter(150, 10, 1500, "px²", "larger holes are meant")
    island_least_px: float = parameter(10, 1, 100, "px²", "least area of excess copper")
    island_most_px: float = parameter(250, 10, 2500, "px²", "larger islands are meant")
    spur_least_px: float = parameter(15, 2, 200, "px²", "least area of a spur")
    spur_most_px: float = parameter(250, 20, 2500, "px²", "larger thin copper is a conductor")
    short_least_px: float = parameter(15, 2, 200, "px²", "least area of a short")
    short_most_px: float = parameter(250, 20, 2500, "px²", "larger joints are meant")
    bite_least_px: float = parameter(15, 2, 200, "px²", "least area of a mousebite")
    bite_most_px: float = parameter(250, 20, 2500, "px²", "larger recesses are meant")
    open_least_px: float = parameter(15, 2, 200, "px²", "least area of an open")
    open_most_px: float = parameter(250, 20, 2500, "px²", "larger gaps are meant")
    box_margin_px: float = parameter(6, 0, 20, "px", "by which boxes are grown on each side, as people drew them")


class MorphologyParameters(RuleParameters):
    """All that is set by hand."""

    find: MorphologyFind = MorphologyFind()
    limits: MorphologyLimits = MorphologyLimits()


_LIMITS = {
    "pin-hole": "hole",
    "copper": "island",
    "spur": "spur",
    "short": "short",
    "mousebite": "bite",
    "open": "open",
}


class Morphology:
    """Rules that know nothing but the image."""

    name = "morphology"
    title = "rules without a template"
    knows = "nothing but the image, as the model"
    kinds: tuple[str, ...] = KINDS
    parameters: type[RuleParameters] = MorphologyParameters

    def can_judge(self, image: LabelledImage) -> bool:  # noqa: ARG002 (others look)
        """See `Method`."""
        return True

    def view(self, pixels: NDArray[np.uint8], image: LabelledImage) -> NDArray[np.uint8]:  # noqa: ARG002
        """See `Method`."""
        return pixels

    def candidates(self, view: NDArray[np.uint8], find: MorphologyFind) -> Sequence[BoardCandidate]:
        """See `Method`."""
        copper = copper_of(view, find.threshold_grey)
        solid = np.asarray(cv2.morphologyEx(copper, cv2.MORPH_OPEN, disk(find.opening_px)), np.uint8)
        filled = np.asarray(cv2.morphologyEx(copper, cv2.MORPH_CLOSE, disk(find.closing_px)), np.uint8)
        return [
            *_alone(copper, "copper"),
            *_alone(1 - copper, "pin-hole"),
            *_between(copper & (1 - solid), solid, 1 - copper, "spur", "short"),
            *_between(filled & (1 - copper), copper, 1 - filled, "mousebite", "open"),
        ]

    def called(self, candidates: Sequence[BoardCandidate], limits: MorphologyLimits) -> Iterator[Called]:
        """See `Method`."""
        for one in candidates:
            name = _LIMITS.get(one.kind, one.kind)
            least, most = getattr(limits, f"{name}_least_px"), getattr(limits, f"{name}_most_px")
            yield Called(one.kind, one.box, min(one.area_px / least, most / one.area_px))


def _alone(mask: Mask, kind: str) -> Iterator[BoardCandidate]:
    """Yield whole pieces, but for those that the frame cuts."""
    height, width = mask.shape
    for group in groups(mask, 0):
        x1, y1, x2, y2 = group.box
        if x1 > 0 and y1 > 0 and x2 < width and y2 < height:
            yield BoardCandidate(kind, group.box, group.area_px)


def _between(rest: Mask, copper: Mask, free: Mask, on_one: str, on_two: str) -> Iterator[BoardCandidate]:
    """Yield what lies between copper and free ground, named by how many pieces of copper it touches."""
    for group in groups(rest, _SURROUNDINGS_PX, least_px=4):
        around = group.grown(1)
        count = touched(pieces(copper[group.window])[1], around)
        if count and (around & free[group.window]).any():  # else it is a hole or an island, which has its own rule
            yield BoardCandidate(on_one if count == 1 else on_two, group.box, group.area_px)
