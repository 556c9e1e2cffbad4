"""Rendered tabs: what a seed gives, what the truth says, what is harmless."""

from dataclasses import replace

import numpy as np
import pytest

from appliance.learning.tabs import CLASS_NAMES, REGIMES, render
from appliance.learning.tabs.part import make_part
from appliance.learning.tabs.scene import MASK_SHARE, Scene

CUT_KINDS = ("burr", "excess_material", "missing_corner", "crack")
SIZE = {"width_px": 320, "height_px": 240}
STATION = REGIMES["in"]


def clean(regime, **knobs):
    """A station whose parts have no harmless deviations."""
    return replace(regime, difficulty=replace(regime.difficulty, harmless=0.0, **knobs))


@pytest.mark.parametrize("regime", REGIMES.values(), ids=list(REGIMES))
def test_the_same_seed_gives_the_same_bytes_and_labels(regime):
    first, second, other = (render(regime, seed, **SIZE, defective=True) for seed in (5, 5, 6))
    assert first.pixels.tobytes() == second.pixels.tobytes() != other.pixels.tobytes()
    assert [truth.region for truth in first.defects] == [truth.region for truth in second.defects]
    assert first.mask().tobytes() == second.mask().tobytes()


@pytest.mark.parametrize("regime", REGIMES.values(), ids=list(REGIMES))
@pytest.mark.parametrize("kind", CLASS_NAMES)
def test_each_class_is_rendered_above_its_limits_with_a_box_tight_around_its_mask(kind, regime):
    rendered = render(regime, 11, **SIZE, defective=True, kind=kind)
    (truth,) = rendered.defects
    x1, y1, x2, y2 = truth.region
    rows, columns = np.nonzero(rendered.mask())
    assert truth.kind == kind
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x1, y1, x2, y2)
    assert truth.size_mm >= truth.limit_mm
    assert truth.size_px >= regime.limits.size_px
    assert truth.contrast_grey >= regime.limits.contrast_grey


@pytest.mark.parametrize("kind", CUT_KINDS)
def test_the_mask_of_a_cut_defect_is_where_foil_came_or_went(kind):
    rendered = render(STATION, 21, **SIZE, defective=True, kind=kind)
    scene = Scene(make_part(STATION, 21, **SIZE))
    change = scene.foil_coverage(rendered.part.defects) - scene.foil_coverage()
    assert np.array_equal(np.abs(change) >= MASK_SHARE, rendered.mask())
    is_grown = kind in ("burr", "excess_material")
    assert (change >= 0).all() if is_grown else (change <= 0).all()


@pytest.mark.parametrize("kind", CLASS_NAMES)
def test_a_good_part_of_the_same_seed_differs_only_around_the_defect(kind):
    spoilt = render(STATION, 31, **SIZE, defective=True, kind=kind)
    good = render(STATION, 31, **SIZE, defective=False)
    rows, columns = np.nonzero(spoilt.pixels != good.pixels)
    x1, y1, x2, y2 = spoilt.defects[0].region
    reach = 20 if kind == "fold" else 6  # lens and motion; the foil beside a crease leans
    assert columns.min() >= x1 - reach
    assert rows.min() >= y1 - reach
    assert columns.max() < x2 + reach
    assert rows.max() < y2 + reach
    assert spoilt.pixels[spoilt.mask()].astype(int).mean() != good.pixels[spoilt.mask()].astype(int).mean()


def test_a_good_part_has_harmless_deviations_and_no_label():
    parts = [render(STATION, seed, **SIZE, defective=False) for seed in range(4)]
    harmless = [deviation for rendered in parts for deviation in rendered.part.harmless]
    assert not any(rendered.defects for rendered in parts)
    assert not any(rendered.mask().any() for rendered in parts)
    assert harmless
    assert all(deviation.size_mm <= STATION.difficulty.largest_harmless * deviation.limit_mm for deviation in harmless)


def test_what_is_too_faint_to_see_is_never_labelled():
    strict = replace(clean(STATION), limits=replace(STATION.limits, contrast_grey=250.0))
    assert render(strict, 3, **SIZE, defective=True, kind="scratch").defects == ()


def test_less_contrast_makes_surface_defects_fainter_and_nothing_else():
    strong = render(clean(STATION), 41, **SIZE, defective=True, kind="contamination")
    faint = render(clean(STATION, contrast=0.5), 41, **SIZE, defective=True, kind="contamination")
    assert faint.defects[0].contrast_grey < 0.7 * strong.defects[0].contrast_grey
    assert faint.defects[0].region == strong.defects[0].region


def test_more_noise_is_seen_on_the_background():
    quiet, loud = (render(clean(STATION, noise=factor), 51, **SIZE, defective=False).pixels for factor in (0.0, 3.0))
    assert loud[:20, :60].std() > quiet[:20, :60].std() + 2


def test_the_stations_differ_in_background_contrast_and_sharpness():
    inside, outside = (render(clean(REGIMES[name]), 61, **SIZE, defective=False).pixels for name in ("in", "shift"))
    assert inside[:30].mean() > 180 > 40 > outside[:30].mean()
    steepest = [np.abs(np.diff(pixels[90].astype(float))).max() / np.ptp(pixels[90]) for pixels in (inside, outside)]
    assert steepest[0] > steepest[1]


def test_part_size_in_px_follows_the_frame():
    small, large = (make_part(STATION, 71, width_px=width, height_px=width * 3 // 4).frame for width in (320, 640))
    assert small.mm_per_px == pytest.approx(2 * large.mm_per_px) == pytest.approx(0.1)
