"""Rules against a board's own template: the classical comparison of a printed circuit board with a clean one.

What differs beyond a tolerance is named by connection: copper that joins two conductors is a short, that hangs on one a
spur, that lies alone excess copper; copper missing inside is a pin-hole, at the edge a mousebite, right across an open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.config.confined import ConfinedModel
from appliance.errors import DatasetError
from appliance.learning.datasets import LabelledImage
from appliance.learning.datasets.deeppcb import template_of
from appliance.learning.rules.board import KINDS, BoardCandidate, Mask, copper_of, disk, groups, pieces, touched
from appliance.learning.rules.candidate import Called
from appliance.learning.rules.method import grey
from appliance.learning.rules.parameter import RuleParameters, parameter

_LEAST_SHIFT_PX = 0.25
_MOST_SHIFT_PX = 20.0  # a larger one is a failed correlation


class TemplateFind(ConfinedModel):
    """What is a candidate."""

    threshold_grey: float = parameter(128, 40, 215, "grey", "darker is copper")
    tolerance_px: float = parameter(2.0, 0.5, 6.0, "px", "how far edges of good copper stray from the template's")
    gap_px: int = parameter(2, 0, 6, "px", "differences so near each other are one")
    surroundings_px: int = parameter(8, 3, 20, "px", "how far around a difference connections are looked at")
    neck_px: int = parameter(1, 0, 3, "px", "copper that is thinner than twice this and a px doesn't connect")


class TemplateLimits(ConfinedModel):
    """From where on a difference is a defect."""

    open_area_px: float = parameter(20, 2, 200, "px²", "least area of an open")
    short_area_px: float = parameter(20, 2, 200, "px²", "least area of a short")
    mousebite_area_px: float = parameter(20, 2, 200, "px²", "least area of a mousebite")
    spur_area_px: float = parameter(20, 2, 200, "px²", "least area of a spur")
    copper_area_px: float = parameter(20, 2, 200, "px²", "least area of excess copper")
    pin_hole_area_px: float = parameter(20, 2, 200, "px²", "least area of a pin-hole")
    box_margin_px: float = parameter(6, 0, 20, "px", "by which boxes are grown on each side, as people drew them")


class TemplateParameters(RuleParameters):
    """All that is set by hand."""

    find: TemplateFind = TemplateFind()
    limits: TemplateLimits = TemplateLimits()


@dataclass(frozen=True)
class TemplateView:
    """(H, W) uint8 of the image, and of the template moved to where the image's board lies."""

    pixels: NDArray[np.uint8]
    template: NDArray[np.uint8]


class Template:
    """Difference from a clean image of the very board and view."""

    name = "template"
    title = "rules by the board's own template"
    knows = (
        "a clean, aligned image of the very board and view, which a model never sees; of DeepPCB the OK parts are "
        "these templates themselves, so that they differ in nothing and its false-reject rate says nothing"
    )
    kinds: tuple[str, ...] = KINDS
    parameters: type[RuleParameters] = TemplateParameters

    def can_judge(self, image: LabelledImage) -> bool:
        """Whether the set has the template."""
        return template_of(image.path) is not None

    def view(self, pixels: NDArray[np.uint8], image: LabelledImage) -> TemplateView:
        """See `Method`.

        Raises:
            DatasetError: No template, or one of another size.
        """
        place = template_of(image.path)
        if place is None:
            raise DatasetError(f"image {image.path}: expected its template beside it, got none")
        template = grey(place)
        if template.shape != pixels.shape:
            raise DatasetError(f"image {place}: expected the size of {image.path.name}, got {template.shape[::-1]}")
        return TemplateView(pixels, _moved(template, pixels))

    def candidates(self, view: TemplateView, find: TemplateFind) -> Sequence[BoardCandidate]:
        """See `Method`."""
        copper, wanted = copper_of(view.pixels, find.threshold_grey), copper_of(view.template, find.threshold_grey)
        outside = cv2.distanceTransform(1 - wanted, cv2.DIST_L2, 3) > find.tolerance_px
        inside = cv2.distanceTransform(wanted, cv2.DIST_L2, 3) > find.tolerance_px
        added, missing = (copper * outside).astype(np.uint8), ((1 - copper) * inside).astype(np.uint8)
        return [*_of_added(added, wanted, find), *_of_missing(missing, copper, wanted, find)]

    def called(self, candidates: Sequence[BoardCandidate], limits: TemplateLimits) -> Iterator[Called]:
        """See `Method`."""
        least = {kind: getattr(limits, f"{kind.replace('-', '_')}_area_px") for kind in KINDS}
        for one in candidates:
            yield Called(one.kind, one.box, one.area_px / least[one.kind])


def _of_added(added: Mask, wanted: Mask, find: TemplateFind) -> Iterator[BoardCandidate]:
    for group in groups(_joined(added, find.gap_px), find.surroundings_px):
        _, labels = pieces(wanted[group.window])
        count = touched(labels, group.grown(_reach(find)))
        kind = "copper" if count == 0 else "spur" if count == 1 else "short"
        yield BoardCandidate(kind, group.box, group.area_px)


def _of_missing(missing: Mask, copper: Mask, wanted: Mask, find: TemplateFind) -> Iterator[BoardCandidate]:
    for group in groups(_joined(missing, find.gap_px), find.surroundings_px):
        around, there = wanted[group.window], copper[group.window]
        if not (group.grown(_reach(find)) & (1 - around)).any():
            kind = "pin-hole"
        else:
            solid = cv2.morphologyEx(there & around, cv2.MORPH_OPEN, disk(find.neck_px))
            is_split = pieces(np.asarray(solid, np.uint8))[0] > pieces(around)[0]
            kind = "open" if is_split else "mousebite"
        yield BoardCandidate(kind, group.box, group.area_px)


def _reach(find: TemplateFind) -> int:
    """Px from a difference beyond the tolerance to the edge that it may hang on."""
    return int(np.ceil(find.tolerance_px)) + 1


def _joined(mask: Mask, gap_px: int) -> Mask:
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disk(gap_px)), np.uint8) if gap_px else mask


def _moved(template: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move the template to the image, to a fraction of a px."""
    window = cv2.createHanningWindow(pixels.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(template.astype(np.float32), pixels.astype(np.float32), window)
    if not _LEAST_SHIFT_PX <= max(abs(x), abs(y)) <= _MOST_SHIFT_PX:
        return template
    matrix = np.array([[1, 0, x], [0, 1, y]])
    moved = cv2.warpAffine(template, matrix, pixels.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
