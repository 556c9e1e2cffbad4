"""Rules against a golden part: silhouettes, such as die-cut tabs, that lie about the same in each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.config.confined import ConfinedModel
from appliance.learning.datasets import LabelledImage
from appliance.learning.rules.alignment import Matrix
from appliance.learning.rules.candidate import Box, Called
from appliance.learning.rules.cut import CutCandidate, CutSettings, cut_candidates
from appliance.learning.rules.parameter import RuleParameters, parameter
from appliance.learning.rules.reference import BROAD_STEP, Laid, Reference, lay_over, relief, strongest
from appliance.learning.rules.surface import CONTRAST_STEPS, Band, Mark, marks

_DEVIATION_STEPS = 8
"""Deviations are kept in eighths of a spread: a byte each."""
_LEAST_SPAN = np.float32(8)
"""Grey values between background and material, so that noise isn't all there is."""
_FILTER_REACH_PX = 8  # so far around missing material the surface filters see its edge
_NOT_FOUND = 20.0  # a frame without such a part is as far beyond any limit as a measure can be


class GoldenFind(ConfinedModel):
    """What is a candidate."""

    material_share: float = parameter(0.5, 0.2, 0.8, "1", "share of a px that must be covered by material")
    tolerance_px: float = parameter(1.5, 0.6, 4.0, "px", "how far the outline of good parts strays")
    cut_gap_px: int = parameter(2, 0, 6, "px", "deviations of the cut so near each other are one")
    surface_margin_px: float = parameter(3.0, 1.0, 8.0, "px", "the surface is looked at so far from the outline")
    fine_sigma: float = parameter(5.0, 2.5, 12.0, "sigma", "deviation of a px of a grain from good parts")
    fine_gap_px: int = parameter(1, 0, 4, "px", "gaps in a grain so wide are bridged")
    line_sigma: float = parameter(5.0, 2.5, 12.0, "sigma", "deviation of a px of a line from good parts")
    line_gap_px: int = parameter(2, 0, 6, "px", "gaps in a line so wide are bridged, at half size")
    grow_share: float = parameter(0.6, 0.3, 1.0, "1", "share of each deviation that neighbouring px must reach")
    broad_sigma: float = parameter(5.0, 2.5, 12.0, "sigma", "deviation of a px of a crease from good parts")
    broad_gap_px: int = parameter(3, 0, 6, "px", "gaps between a crease's flanks so wide are bridged, at half size")


class GoldenLimits(ConfinedModel):
    """From where on a candidate is a defect, and of which class."""

    burr_depth_px: float = parameter(3.0, 1.0, 10.0, "px", "least length of a burr")
    burr_slenderness: float = parameter(1.2, 0.5, 4.0, "1", "a burr is so many times longer than thick, excess isn't")
    excess_depth_px: float = parameter(4.0, 1.0, 12.0, "px", "least height of excess material")
    corner_depth_px: float = parameter(4.0, 1.0, 12.0, "px", "least depth of missing material")
    crack_depth_px: float = parameter(6.0, 1.0, 20.0, "px", "least depth of a crack")
    crack_slenderness: float = parameter(1.6, 0.5, 4.0, "1", "a crack is so many times deeper than thick")
    scratch_length_px: float = parameter(28.0, 8.0, 60.0, "px", "least length of a scratch, ends of the filter and all")
    scratch_contrast: float = parameter(0.03, 0.005, 0.2, "1", "least contrast of a scratch, averaged along it")
    scratch_elongation: float = parameter(3.0, 1.2, 12.0, "1", "a scratch is so many times longer than wide")
    spot_elongation: float = parameter(2.5, 1.5, 12.0, "1", "contamination isn't longer than so many times its width")
    spot_diameter_px: float = parameter(4.5, 1.5, 14.0, "px", "least diameter of contamination")
    spot_contrast: float = parameter(0.12, 0.01, 0.6, "1", "least contrast of contamination")
    fold_length_px: float = parameter(25.0, 8.0, 80.0, "px", "least length of a fold")
    fold_contrast: float = parameter(0.05, 0.01, 0.4, "1", "least contrast of a fold")
    fold_two_sided: float = parameter(0.1, 0.0, 0.5, "1", "least share of the weaker flank, bright or dark")
    box_margin_px: float = parameter(0.5, 0.0, 4.0, "px", "by which boxes are grown on each side")


class GoldenParameters(RuleParameters):
    """All that is set by hand."""

    find: GoldenFind = GoldenFind()
    limits: GoldenLimits = GoldenLimits()


@dataclass(frozen=True)
class GoldenView:
    """One image beside the reference, in bytes: hundreds of them are kept while parameters are tuned.

    Attributes:
        material: (H, W) uint8.
        bands: Deviation and contrast, int8, of each band of the surface.
        size_px: Width and height of the image.
    """

    matrix: Matrix
    size_px: tuple[int, int]
    material: NDArray[np.uint8]
    bands: dict[Band, tuple[NDArray[np.int8], NDArray[np.int8]]]


@dataclass(frozen=True)
class GoldenCandidate:
    """A measured candidate and its box in px of the image; without a measure: no part was found."""

    box: Box
    measured: CutCandidate | Mark | None


class Golden:
    """Alignment to a golden part, contour distance, and blob rules on what the surface shows beyond good parts."""

    name = "golden"
    title = "rules by a golden part"
    knows = "the outline and the usual variation of a few good parts of the development split"
    kinds: tuple[str, ...] = ("burr", "excess_material", "missing_corner", "crack", "fold", "scratch", "contamination")
    parameters: type[RuleParameters] = GoldenParameters

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        span = reference.background - reference.edge_grey
        self._span = np.where(np.abs(span) < _LEAST_SPAN, np.where(span < 0, -_LEAST_SPAN, _LEAST_SPAN), span)

    def can_judge(self, image: LabelledImage) -> bool:  # noqa: ARG002 (others look)
        """See `Method`."""
        return True

    def view(self, pixels: NDArray[np.uint8], image: LabelledImage) -> GoldenView | tuple[int, int]:  # noqa: ARG002
        """See `Method`; the size of the image where the part isn't found."""
        size_px = (pixels.shape[1], pixels.shape[0])
        reference = self.reference
        laid = lay_over(pixels, reference) if pixels.shape == reference.image.shape else None
        if laid is None:
            return size_px
        share = np.where(laid.is_valid, (reference.background - laid.pixels) / self._span, reference.distance <= 0)
        return GoldenView(laid.matrix, size_px, np.clip(share * 255, 0, 255).astype(np.uint8), self._bands(laid))

    def _bands(self, laid: Laid) -> dict[Band, tuple[NDArray[np.int8], NDArray[np.int8]]]:
        reference = self.reference
        seen = relief(laid, reference.distance, reference.ground)
        half = laid.is_valid[::BROAD_STEP, ::BROAD_STEP]
        lines, thin = strongest(reference.lines, seen.lines)
        return {
            "fine": (_bytes(reference.fine.deviation(seen.fine) * laid.is_valid, _DEVIATION_STEPS), _bytes(seen.fine)),
            "line": (_bytes(lines * half, _DEVIATION_STEPS), _bytes(thin)),
            "broad": (_bytes(reference.broad.deviation(seen.broad) * half, _DEVIATION_STEPS), _bytes(seen.broad)),
        }

    def candidates(self, view: GoldenView | tuple[int, int], find: GoldenFind) -> Sequence[GoldenCandidate]:
        """See `Method`."""
        if not isinstance(view, GoldenView):
            return [GoldenCandidate((0.0, 0.0, float(view[0]), float(view[1])), None)]
        distance = self.reference.distance
        settings = CutSettings(find.material_share, find.tolerance_px, find.cut_gap_px)
        cuts, gone = cut_candidates(view.material, distance, settings)
        is_surface = distance < -find.surface_margin_px
        if gone.any():
            reach = 2 * round(find.surface_margin_px + _FILTER_REACH_PX) + 1
            is_surface &= cv2.dilate(gone.astype(np.uint8), np.ones((reach, reach), np.uint8)) == 0
        found: list[CutCandidate | Mark] = [*cuts]
        for band, (deviation, contrast) in view.bands.items():
            step = 1 if band == "fine" else BROAD_STEP
            found += marks(
                deviation,
                contrast,
                is_surface[::step, ::step],
                band,
                limit=getattr(find, f"{band}_sigma") * _DEVIATION_STEPS,
                grow_share=find.grow_share,
                gap_px=getattr(find, f"{band}_gap_px"),
                step=step,
            )
        return [GoldenCandidate(_box(one.corners, view), one) for one in found]

    def called(self, candidates: Sequence[GoldenCandidate], limits: GoldenLimits) -> Iterator[Called]:
        """See `Method`. Lines and grains of a fold, and grains of a scratch, aren't named again."""
        marked: list[Box] = []
        for name in (_fold, _scratch, _spot):
            found = [
                called
                for one in candidates
                if isinstance(one.measured, Mark) and (called := name(one.box, one.measured, limits)) is not None
            ]
            yield from (one for one in found if not any(_lies_in(one.box, other) for other in marked))
            marked += [one.box for one in found if one.excess >= 1]
        for one in candidates:
            if one.measured is None:
                yield Called("missing_corner", one.box, _NOT_FOUND)
            elif isinstance(one.measured, CutCandidate):
                yield _cut(one.box, one.measured, limits)


def _cut(box: Box, measured: CutCandidate, limits: GoldenLimits) -> Called:
    if measured.is_outside:
        if measured.slenderness >= limits.burr_slenderness:
            return Called("burr", box, measured.depth_px / limits.burr_depth_px)
        return Called("excess_material", box, measured.depth_px / limits.excess_depth_px)
    if measured.slenderness >= limits.crack_slenderness:
        return Called("crack", box, measured.depth_px / limits.crack_depth_px)
    return Called("missing_corner", box, measured.depth_px / limits.corner_depth_px)


def _fold(box: Box, mark: Mark, limits: GoldenLimits) -> Called | None:
    if mark.band != "broad" or mark.two_sided < limits.fold_two_sided:
        return None
    return Called("fold", box, min(mark.length_px / limits.fold_length_px, mark.contrast / limits.fold_contrast))


def _scratch(box: Box, mark: Mark, limits: GoldenLimits) -> Called | None:
    if mark.band != "line" or mark.elongation < limits.scratch_elongation:
        return None
    excess = min(mark.length_px / limits.scratch_length_px, mark.contrast / limits.scratch_contrast)
    return Called("scratch", box, excess)


def _spot(box: Box, mark: Mark, limits: GoldenLimits) -> Called | None:
    if mark.band != "fine" or mark.elongation > limits.spot_elongation:
        return None
    excess = min(mark.diameter_px / limits.spot_diameter_px, mark.contrast / limits.spot_contrast)
    return Called("contamination", box, excess)


def _lies_in(box: Box, other: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _box(corners: NDArray[np.float64], view: GoldenView) -> Box:
    placed = (corners - 0.5) @ view.matrix[:, :2].T + view.matrix[:, 2] + 0.5
    (x1, y1), (x2, y2) = placed.min(axis=0), placed.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def _bytes(values: NDArray[np.float32], steps: int = CONTRAST_STEPS) -> NDArray[np.int8]:
    return np.clip(np.rint(values * steps), -127, 127).astype(np.int8)
