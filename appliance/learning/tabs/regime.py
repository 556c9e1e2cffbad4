"""What is rendered: the part, its foil, light and optics, and how hard the defects are to see.

The figures are typical ones of such a station, not measurements of a certain one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.learning.tabs.draws import Range

RENDERER_VERSION = "1"
"""Goes up with every change that changes pixels or labels."""

CLASS_NAMES = ("burr", "excess_material", "missing_corner", "crack", "fold", "scratch", "contamination")
"""毛刺, 余料, 缺角, 裂纹, 折皱, 划痕, 污染."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The die's drawing and what its wear adds. Origin: the middle of the frame; y points down, to the electrode.

    Attributes:
        top_y_mm, shoulder_y_mm: Where tab and electrode end above.
        taper_mm: How much further in a side is at the top.
        strip_mm: Bare foil between the shoulder and the coating.
        waviness_mm, wear_mm: Deviation of the outline, slow (over `waviness_length_mm`) and fast.
        border_mm: Deviation of the coating's border line.
    """

    width_mm: float = 13.0
    top_y_mm: float = -7.2
    shoulder_y_mm: float = 1.6
    top_radius_mm: float = 1.3
    root_radius_mm: float = 1.6
    taper_mm: float = 0.3
    strip_mm: Range = (0.9, 1.5)
    waviness_mm: Range = (0.004, 0.02)
    waviness_length_mm: float = 1.5
    wear_mm: Range = (0.003, 0.010)
    border_mm: Range = (0.04, 0.11)


@dataclass(frozen=True, kw_only=True)
class Foil:
    """A foil and its coating under a light. Grey values are shares of full scale, contrasts shares of the grey value.

    Attributes:
        streaks: Rolling marks, along the web. grain: from px to px. undulation: of a foil that isn't quite flat.
        coating_grain, mottle: The coating's, fine and coarse.
    """

    name: str
    grey: float
    streaks: float
    grain: float
    undulation: float
    coating_grey: float
    coating_grain: float
    mottle: float


@dataclass(frozen=True, kw_only=True)
class Light:
    """How the station is lit.

    Attributes:
        name: "backlit" (a lit plate behind, front light for the surface) or "reflected" (front light, dark roller).
        background: The background's grey value, share of full scale. background_mottle: Its unevenness, a share.
        gradient: How much brighter the frame is towards `gradient_degrees`, as a share.
        edge_glint: The cut edge's own brightness against the foil's, a share; negative: darker.
        drift: Lamp and exposure from part to part, a share each way.
    """

    name: str
    background: float
    background_mottle: float
    gradient: float
    gradient_degrees: float
    edge_glint: float
    drift: float


@dataclass(frozen=True, kw_only=True)
class Optics:
    """Lens and sensor.

    Attributes:
        field_width_mm: What the frame's width shows.
        vignetting: Light lost in the corners, a share.
        defocus_px: Deviation of the blur. motion_px: Way of the part during the exposure, along the web.
        full_well_e: Electrons at full scale: shot noise. read_noise_e: Deviation in electrons.
        column_gain: Deviation of the sensor's columns from each other, a share; the same on every frame.
    """

    field_width_mm: float
    vignetting: float
    defocus_px: Range
    motion_px: Range
    full_well_e: float
    read_noise_e: float
    column_gain: float


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """How differently parts lie under the camera; each value goes both ways."""

    shift_mm: float = 0.8
    rotation_degrees: float = 1.0
    scale: float = 0.006


@dataclass(frozen=True, kw_only=True)
class LeastSizesMm:
    """Least size in mm of each class.

    Burr, crack, fold and scratch: length. Contamination: diameter. Excess material and missing corner: how far
    they are off the outline.
    """

    burr: float = 0.15
    excess_material: float = 0.25
    missing_corner: float = 0.25
    crack: float = 0.45
    fold: float = 2.0
    scratch: float = 1.2
    contamination: float = 0.25


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on something is a defect: below any of these nothing is labelled.

    Attributes:
        size_px: Least size in px, for every class: what the camera can show.
        contrast_grey: Least change of grey value (0..255) anywhere in it, measured behind the optics, without noise.
        size_mm: Least size of each class: what matters in a cell.
    """

    size_px: float = 3.0
    contrast_grey: float = 12.0
    size_mm: LeastSizesMm = field(default_factory=LeastSizesMm)

    def of(self, kind: str, mm_per_px: float) -> float:
        """Return the least size in mm of a labelled defect."""
        least_mm: float = getattr(self.size_mm, kind)
        return max(least_mm, self.size_px * mm_per_px)


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Knobs. Sizes are multiples of the class's limit.

    Attributes:
        contrast: Factor on the contrast of fold, scratch and contamination.
        noise, blur: Factors on the optics' own.
        smallest: Of a defect. Between this and `largest_harmless` nothing is rendered: there people disagree.
        typical: Mean size of a defect. largest: Its end.
        harmless: Mean number of dust grains, tiny burrs and faint marks of a part.
    """

    contrast: float = 1.0
    noise: float = 1.0
    blur: float = 1.0
    smallest: float = 1.3
    typical: float = 2.4
    largest: float = 6.0
    largest_harmless: float = 0.6
    harmless: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Regime:
    """One station: everything that its pictures have in common."""

    name: str
    foil: Foil
    light: Light
    optics: Optics
    shape: Shape = field(default_factory=Shape)
    jitter: Jitter = field(default_factory=Jitter)
    limits: Limits = field(default_factory=Limits)
    difficulty: Difficulty = field(default_factory=Difficulty)


_ALUMINIUM = Foil(
    name="aluminium",
    grey=0.50,
    streaks=0.035,
    grain=0.035,
    undulation=0.045,
    coating_grey=0.105,
    coating_grain=0.16,
    mottle=0.035,
)
_COPPER = Foil(
    name="copper",
    grey=0.40,
    streaks=0.06,
    grain=0.05,
    undulation=0.09,
    coating_grey=0.15,
    coating_grain=0.12,
    mottle=0.04,
)

REGIMES: dict[str, Regime] = {
    regime.name: regime
    for regime in (
        Regime(
            name="in",
            foil=_ALUMINIUM,
            light=Light(
                name="backlit",
                background=0.88,
                background_mottle=0.006,
                gradient=0.08,
                gradient_degrees=-70,
                edge_glint=-0.22,
                drift=0.04,
            ),
            optics=Optics(
                field_width_mm=32.0,
                vignetting=0.14,
                defocus_px=(0.5, 0.85),
                motion_px=(0.0, 1.2),
                full_well_e=11000,
                read_noise_e=30,
                column_gain=0.004,
            ),
        ),
        Regime(
            name="shift",
            foil=_COPPER,
            light=Light(
                name="reflected",
                background=0.075,
                background_mottle=0.12,
                gradient=0.26,
                gradient_degrees=20,
                edge_glint=0.45,
                drift=0.08,
            ),
            optics=Optics(
                field_width_mm=35.0,
                vignetting=0.30,
                defocus_px=(0.8, 1.25),
                motion_px=(0.5, 2.2),
                full_well_e=5000,
                read_noise_e=35,
                column_gain=0.010,
            ),
        ),
    )
}
"""By name: "in" is for training and measuring, "shift" is held out, for measuring under a changed station."""
