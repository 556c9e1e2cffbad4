from dataclasses import dataclass

import numpy as np
import pytest

from appliance.config import ClassRule, EvidenceLimits, Recipe, Zone
from appliance.errors import ConfigError, ModelContractMismatch
from appliance.inspection.judge import check_recipe, judge, lowest_score
from appliance.messages import Reason, VerdictWord
from appliance.modelling import Detections

CLASS_NAMES = ("burr", "pinhole")
WHOLE = (0, 0, 640, 480)


def recipe(zones: dict[str, Zone] | None = None, mm_per_px: float | None = None, **classes: ClassRule) -> Recipe:
    return Recipe(
        zones=zones or {},
        mm_per_px=mm_per_px,
        name="tabs",
        version=3,
        model="tabs-fine",
        deadline_ms=100,
        near_miss_score=0.1,
        evidence=EvidenceLimits(mean_grey_min=0, mean_grey_max=255, sharpness_min=0),
        classes=classes or {"burr": ClassRule(score=0.5, min_size_px=4, defect_code="B1"), "pinhole": PINHOLES},
    )


PINHOLES = ClassRule(score=0.3, min_count=2)


def detections(*rows: tuple[str, float, tuple[float, float, float, float]]) -> Detections:
    return Detections(
        boxes_in_image=np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in rows], np.float32),
        class_ids=np.array([CLASS_NAMES.index(name) for name, _, _ in rows], np.int64),
    )


BIG, SMALL, OUTSIDE = (10, 10, 30, 20), (10, 10, 30, 13), (700, 10, 720, 30)


@dataclass(frozen=True)
class JudgeCase:
    name: str
    found: Detections
    verdict: VerdictWord
    defects: tuple[tuple[str, float], ...] = ()
    near_misses: tuple[tuple[str, float], ...] = ()


CASES = [
    JudgeCase("nothing_found", Detections.none(), VerdictWord.OK),
    JudgeCase("one_burr", detections(("burr", 0.9, BIG)), VerdictWord.NG, (("burr", 0.9),)),
    JudgeCase("score_at_the_limit_counts", detections(("burr", 0.5, BIG)), VerdictWord.NG, (("burr", 0.5),)),
    JudgeCase("score_below", detections(("burr", 0.49, BIG)), VerdictWord.OK, (), (("burr", 0.49),)),
    JudgeCase("shorter_side_below", detections(("burr", 0.9, SMALL)), VerdictWord.OK, (), (("burr", 0.9),)),
    JudgeCase("below_near_miss", detections(("burr", 0.05, BIG)), VerdictWord.OK),
    JudgeCase("one_pinhole_is_not_enough", detections(("pinhole", 0.8, BIG)), VerdictWord.OK, (), (("pinhole", 0.8),)),
    JudgeCase(
        "two_pinholes_are",
        detections(("pinhole", 0.4, BIG), ("pinhole", 0.8, SMALL)),
        VerdictWord.NG,
        (("pinhole", 0.8), ("pinhole", 0.4)),
    ),
    JudgeCase(
        "mixed_and_sorted",
        detections(("pinhole", 0.95, BIG), ("burr", 0.6, BIG), ("burr", 0.7, BIG), ("burr", 0.2, BIG)),
        VerdictWord.NG,
        (("burr", 0.7), ("burr", 0.6)),
        (("pinhole", 0.95), ("burr", 0.2)),
    ),
    JudgeCase("another_view", detections(("burr", 0.9, OUTSIDE)), VerdictWord.OK),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recipe_decides(case: JudgeCase) -> None:
    told = judge(case.found, CLASS_NAMES, recipe(), WHOLE)
    assert told.verdict is case.verdict
    assert told.reason is Reason.NONE
    assert [(defect.class_name, defect.score) for defect in told.defects] == [
        (name, pytest.approx(score, abs=1e-4)) for name, score in case.defects
    ]
    assert [(miss.class_name, miss.score) for miss in told.near_misses] == [
        (name, pytest.approx(score, abs=1e-4)) for name, score in case.near_misses
    ]


def test_defect_carries_box_and_code() -> None:
    (defect,) = judge(detections(("burr", 0.9, BIG)), CLASS_NAMES, recipe(), WHOLE).defects
    assert defect.box_px == BIG
    assert defect.defect_code == "B1"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_detection_that_is_not_finite_is_a_model_error(bad: float) -> None:
    for found in (detections(("burr", bad, BIG)), detections(("burr", 0.9, (0, 0, 9, bad)))):
        told = judge(found, CLASS_NAMES, recipe(), WHOLE)
        assert (told.verdict, told.reason, told.defects) == (VerdictWord.UNKNOWN, Reason.MODEL_ERROR, ())


@dataclass(frozen=True)
class KnownClasses:
    """The part of a bundle that a recipe is checked against."""

    class_names: tuple[str, ...]
    name: str = "tabs-fine"


def test_fitting_recipe_is_accepted() -> None:
    check_recipe(recipe(), KnownClasses(CLASS_NAMES))


def test_recipe_with_a_class_the_model_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^recipe tabs version 3, model tabs-fine: .*'pinhole'; it has 'burr'; .*$"):
        check_recipe(recipe(), KnownClasses(("burr",)))


def test_recipe_without_a_rule_for_a_class_is_refused() -> None:
    with pytest.raises(ModelContractMismatch, match=r"no rule for class 'scratch'; add \[classes.scratch\]"):
        check_recipe(recipe(), KnownClasses((*CLASS_NAMES, "scratch")))


def test_detection_counts_only_in_the_zones_that_its_rule_names() -> None:
    edge = Zone(polygon_px=((0, 0), (40, 0), (0, 40)))
    hole = Zone(region_px=(18, 10, 24, 20))
    for rule, centre_in, verdict in (
        (ClassRule(score=0.5, zones=("edge",)), (10, 10, 12, 12), VerdictWord.NG),
        (ClassRule(score=0.5, zones=("edge",)), (30, 30, 34, 34), VerdictWord.OK),
        (ClassRule(score=0.5, outside_zones=("hole",)), (19, 12, 23, 16), VerdictWord.OK),
        (ClassRule(score=0.5, outside_zones=("hole",)), (30, 30, 34, 34), VerdictWord.NG),
        (ClassRule(score=0.5, zones=("edge",), outside_zones=("hole",)), (19, 12, 23, 16), VerdictWord.OK),
    ):
        with_zones = recipe(zones={"edge": edge, "hole": hole}, burr=rule, pinhole=PINHOLES)
        told = judge(detections(("burr", 0.9, centre_in)), CLASS_NAMES, with_zones, WHOLE)
        assert told.verdict is verdict, (rule, centre_in)
        assert len(told.defects) + len(told.near_misses) == 1


def test_size_in_millimetres_counts_and_is_recorded() -> None:
    rule = ClassRule(score=0.5, min_size_mm=0.25)
    known = recipe(mm_per_px=0.05, burr=rule, pinhole=PINHOLES)
    (defect,) = judge(detections(("burr", 0.9, (10, 10, 30, 15))), CLASS_NAMES, known, WHOLE).defects
    (measured,) = defect.measurements
    assert (measured.name, measured.value, measured.unit, measured.limits) == ("shorter_side", 0.25, "mm", (None, 0.25))
    assert judge(detections(("burr", 0.9, (10, 10, 30, 14))), CLASS_NAMES, known, WHOLE).verdict is VerdictWord.OK


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (ClassRule(score=0.5, zones=("rim",)), "class burr names zone 'rim', which isn't under"),
        (ClassRule(score=0.5, min_size_mm=1), "class burr has min_size_mm; set mm_per_px"),
    ],
    ids=["zone", "mm"],
)
def test_rule_that_needs_what_the_recipe_lacks_is_refused(rule: ClassRule, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        recipe(burr=rule)


@pytest.mark.parametrize(
    "area", [{}, {"region_px": (1, 1, 0, 2)}, {"polygon_px": ((0, 0), (1, 1))}], ids=["none", "inside out", "line"]
)
def test_zone_without_an_area_is_refused(area: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"zone is either|must be x1 < x2|at least three"):
        Zone.model_validate(area)


def test_decoder_keeps_what_any_rule_or_person_needs() -> None:
    assert lowest_score(recipe()) == 0.1
    assert lowest_score(recipe(burr=ClassRule(score=0.05))) == 0.05
