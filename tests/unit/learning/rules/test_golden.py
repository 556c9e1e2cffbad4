"""Rules against a golden part: each kind of deviation, its class, its side, and what is none."""

from dataclasses import replace

import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.rules import Rules
from appliance.learning.rules.cut import CutCandidate
from appliance.learning.rules.golden import Golden
from appliance.learning.rules.reference import LEAST_PARTS, learn
from appliance.learning.tabs import CLASS_NAMES, REGIMES, render

SIZE_PX = (640, 480)
KNOBS = replace(REGIMES["in"].difficulty, harmless=0.0, smallest=2.0, typical=2.5)
STATION = replace(REGIMES["in"], difficulty=KNOBS)
"""No harmless deviations, and no defect near its limit: what is left is beyond doubt."""


@pytest.fixture(scope="module")
def rules() -> Rules:
    good = [render(STATION, 700 + seed, defective=False).pixels for seed in range(8)]
    return Rules.of(Golden(learn(good)), CLASS_NAMES)


def found(rules: Rules, pixels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Class and box of each finding at or beyond its limit, the strongest first."""
    detections = rules.detect(pixels, None)
    return [
        (CLASS_NAMES[class_id], box)
        for class_id, box, score in zip(detections.class_ids, detections.boxes_in_image, detections.scores, strict=True)
        if score >= 0.5
    ]


@pytest.mark.parametrize("kind", CLASS_NAMES)
def test_each_deviation_is_found_where_it_is_and_named(rules, kind):
    rendered = render(STATION, 812, defective=True, kind=kind)
    (truth,) = rendered.defects
    calls = found(rules, rendered.pixels)
    assert [name for name, _ in calls] == [kind]
    x1, y1, x2, y2 = calls[0][1]
    middle = (truth.region[0] + truth.region[2]) / 2, (truth.region[1] + truth.region[3]) / 2
    assert x1 <= middle[0] <= x2
    assert y1 <= middle[1] <= y2


@pytest.mark.parametrize(
    ("kind", "is_outside"), [("burr", True), ("excess_material", True), ("missing_corner", False), ("crack", False)]
)
def test_a_deviation_of_the_cut_lies_on_its_side_of_the_outline(rules, kind, is_outside):
    rendered = render(STATION, 823, defective=True, kind=kind)
    view = rules.method.view(rendered.pixels, None)
    cuts = [one.measured for one in rules.method.candidates(view, rules.parameters.find)]
    deepest = max((one for one in cuts if isinstance(one, CutCandidate)), key=lambda one: one.area_px)
    assert deepest.is_outside == is_outside
    assert deepest.depth_px >= 2 * rules.parameters.find.tolerance_px


@pytest.mark.parametrize("seed", range(901, 907))
def test_a_good_part_passes_however_it_lies(rules, seed):
    assert found(rules, render(STATION, seed, defective=False).pixels) == []


def test_a_score_says_how_far_beyond_its_limit_a_measure_is(rules):
    small, large = (
        rules.detect(
            render(
                replace(STATION, difficulty=replace(KNOBS, smallest=size, typical=size)),
                812,
                defective=True,
                kind="crack",
            ).pixels,
            None,
        )
        for size in (2.0, 4.0)
    )
    assert 0.5 < small.scores[0] < large.scores[0] < 1


def test_a_frame_without_a_part_is_never_good(rules):
    assert len(found(rules, np.full(SIZE_PX[::-1], 220, np.uint8))) == 1


def test_too_few_or_unlike_parts_make_no_reference():
    pixels = render(STATION, 1, width_px=160, height_px=120, defective=False).pixels
    with pytest.raises(DatasetError, match="at least"):
        learn([pixels] * (LEAST_PARTS - 1))
    with pytest.raises(DatasetError, match="size"):
        learn([pixels] * LEAST_PARTS + [pixels[:-8]])


def test_classes_that_the_model_doesnt_know_are_refused_with_the_option(rules):
    with pytest.raises(DatasetError, match="--kind burr=spot"):
        Rules.of(rules.method, ("spot",))
    assert Rules.of(rules.method, ("spot",), {"burr": "spot"}).renamed == {"burr": "spot"}
    with pytest.raises(DatasetError, match="RULES_CLASS=MODEL_CLASS"):
        Rules.of(rules.method, ("spot",), {"nonsense": "spot"})
