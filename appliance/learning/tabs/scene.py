"""A part as the camera sees it, and its exact ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.tabs import texture
from appliance.learning.tabs.deviation import Deviation
from appliance.learning.tabs.frame import Coverage, Region
from appliance.learning.tabs.optics import Camera
from appliance.learning.tabs.part import Part, make_part
from appliance.learning.tabs.regime import Regime

MASK_SHARE = 0.25
"""A px belongs to a defect where at least this share of it changed: material come or gone, or the mark's strength."""
_ATTEMPTS = 20
_EDGE_SIGMA_PX = 1.1


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One labelled defect.

    Attributes:
        kind: Its class. size_mm, size_px, limit_mm: As `Limits` defines the size.
        contrast_grey: Its greatest change of grey value behind the optics, without noise.
        region: Tight box around the mask, x2 and y2 exclusive.
        mask: (y2 - y1, x2 - x1) bool.
    """

    kind: str
    size_mm: float
    size_px: float
    limit_mm: float
    contrast_grey: float
    region: Region
    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RenderedPart:
    """A rendered picture; nothing of it was ever photographed.

    Attributes:
        part: What was rendered.
        pixels: (H, W) uint8, Mono8.
        defects: Its labels; none: a good part.
        defocus_px, motion_px, lamp: What the camera did to this frame.
    """

    part: Part
    pixels: NDArray[np.uint8]
    defects: tuple[Truth, ...]
    defocus_px: float
    motion_px: float
    lamp: float

    def mask(self) -> NDArray[np.bool_]:
        """Return (H, W) bool: all its defects."""
        whole = np.zeros(self.pixels.shape, np.bool_)
        for truth in self.defects:
            x1, y1, x2, y2 = truth.region
            whole[y1:y2, x1:x2] |= truth.mask
        return whole


def render(
    regime: Regime,
    seed: int,
    *,
    width_px: int = 640,
    height_px: int = 480,
    defective: bool,
    kind: str | None = None,
) -> RenderedPart:
    """Render one part.

    A defect that came out too faint to be labelled isn't left in a good-looking part: all are drawn anew.

    Args:
        regime: The station.
        seed: Of this part: a defective and a good part of one seed differ in nothing but the defects.
        width_px, height_px: Of the frame; the field of view is as wide whatever the width.
        defective: Whether it has defects. kind: The class of its one defect; None: one to three of any class.
    """
    good = make_part(regime, seed, width_px=width_px, height_px=height_px)
    camera = Camera(regime, width_px, height_px, good.draws("camera"))
    scene = Scene(good)
    seen_good = camera.look(scene.radiance())
    for attempt in range(_ATTEMPTS if defective else 0):
        part = good.spoilt(kind, attempt)
        seen = camera.look(scene.radiance(part.defects))
        change = np.abs(seen - seen_good)
        truths = [_truth(part, scene, deviation, change) for deviation in part.defects]
        labelled = tuple(truth for truth in truths if truth is not None)
        if labelled and len(labelled) == len(part.defects):
            return _picture(part, camera, seen, labelled)
    return _picture(good, camera, seen_good, ())


def _picture(part: Part, camera: Camera, seen: Coverage, truths: tuple[Truth, ...]) -> RenderedPart:
    return RenderedPart(
        part=part,
        pixels=camera.expose(seen),
        defects=truths,
        defocus_px=camera.defocus_px,
        motion_px=camera.motion_px,
        lamp=camera.lamp,
    )


class Scene:
    """The radiance of one part, with and without defects: textures are made once.

    Args:
        part: Its harmless deviations are always there, its defects only where they are asked for.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        look, height, width = part.regime.foil, part.frame.height_px, part.frame.width_px
        foil = texture.foil(look, height, width, part.draws("foil"))
        coating = texture.coating(look, height, width, part.draws("coating"))
        self._background = texture.background(part.regime.light, height, width, part.draws("background"))
        coated = part.frame.coverage(part.frame.whole, [part.border])
        self._surface = foil + (coating - foil) * coated
        self._bare = 1 - coated

    def foil_coverage(self, defects: Sequence[Deviation] = (), region: Region | None = None) -> Coverage:
        """Return what the foil covers of each px."""
        deviations = (*self.part.harmless, *defects)
        return self.part.frame.coverage(
            region or self.part.frame.whole,
            [self.part.outline.closed(), *(polygon for deviation in deviations for polygon in deviation.added)],
            [polygon for deviation in deviations for polygon in deviation.removed],
        )

    def radiance(self, defects: Sequence[Deviation] = ()) -> Coverage:
        """Return (H, W) float32, share of full scale."""
        frame = self.part.frame
        surface = self._surface.copy()
        for deviation in (*self.part.harmless, *defects):
            if deviation.mark is not None:
                x1, y1, x2, y2 = region = frame.region_of(deviation.extent(), 2)
                if x1 < x2 and y1 < y2:
                    surface[y1:y2, x1:x2] = deviation.mark.paint(surface[y1:y2, x1:x2], frame, region)
        covered = self.foil_coverage(defects)
        rim = covered * (1 - cv2.GaussianBlur(covered, (0, 0), _EDGE_SIGMA_PX)) * self._bare
        surface *= 1 + np.float32(2 * self.part.regime.light.edge_glint) * rim
        radiance: Coverage = self._background + (surface - self._background) * covered
        return radiance

    def changed(self, deviation: Deviation, region: Region) -> Coverage:
        """Return the share of each px of a region that a defect changes."""
        if deviation.mark is not None:
            strength: Coverage = deviation.mark.strength(self.part.frame, region) * self.foil_coverage((), region)
            return strength
        change: Coverage = np.abs(self.foil_coverage([deviation], region) - self.foil_coverage((), region))
        return change


def _truth(part: Part, scene: Scene, deviation: Deviation, change: Coverage) -> Truth | None:
    """Return a defect's label; None where it is below a limit."""
    x1, y1, x2, y2 = region = part.frame.region_of(deviation.extent(), 2)
    if not (deviation.is_large_enough and x1 < x2 and y1 < y2):
        return None
    mask = scene.changed(deviation, region) >= MASK_SHARE
    if not mask.any():
        return None
    contrast = float(change[y1:y2, x1:x2][mask].max())
    if contrast < part.regime.limits.contrast_grey:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Truth(
        kind=deviation.kind,
        size_mm=deviation.size_mm,
        size_px=deviation.size_mm / part.frame.mm_per_px,
        limit_mm=deviation.limit_mm,
        contrast_grey=contrast,
        region=(x1 + left, y1 + top, x1 + right, y1 + bottom),
        mask=mask[top:bottom, left:right],
    )
