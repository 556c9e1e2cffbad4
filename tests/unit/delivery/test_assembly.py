import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Recipe
from appliance.delivery.assembly import Assembler, Exposure, PartPlan, opening, part_plan
from appliance.errors import ConfigError

MS = 1_000_000
WINDOW_MS = 20
REFERENCE = {"name": "r", "version": 1, "sha256": "ab"}


@dataclass(eq=False)
class Part:
    plan: PartPlan
    part_ns: int
    taken: set[int] = field(default_factory=set)
    triggers: set[tuple[str, int]] = field(default_factory=set)


def plan(*exposures: tuple[str, int]) -> PartPlan:
    return PartPlan(
        REFERENCE,
        deadline_ns=1000 * MS,
        speak_before_ns=5 * MS,
        exposures=tuple(Exposure(camera, ms * MS, (f"{camera}{ms}",)) for camera, ms in exposures),
        window_ns=WINDOW_MS * MS,
        complete_ns=500 * MS,
    )


def grouped(asked: PartPlan, arrivals: list[tuple[str, int]]) -> set[frozenset[tuple[str, int]]]:
    """Give each exposure (camera, ns) to the assembler in this order."""
    assembler, parts = Assembler[Part](), []
    for camera, exposed_ns in arrivals:
        found = assembler.find(camera, exposed_ns)
        if found is None:
            first = opening(asked, camera, exposed_ns)
            assert first.exposure is not None
            part, number = Part(asked, first.part_ns), first.exposure
            parts.append(part)
            assembler.add(part)
        else:
            part, number = found
        part.taken.add(number)
        part.triggers.add((camera, exposed_ns))
    return {frozenset(part.triggers) for part in parts}


@st.composite
def lines_of_parts(draw: st.DrawFn) -> tuple[PartPlan, set[frozenset[tuple[str, int]]], list[tuple[str, int]]]:
    """A plan, its parts with jitter, and one order in which their exposures may be heard."""
    asked = plan(("left", 0), ("right", 0), ("right", 100), ("top", 30))
    at_ms, parts = 1000, []
    for _ in range(draw(st.integers(1, 6))):
        at_ms += draw(st.integers(145, 400))  # no two exposures of one camera closer than two windows and jitter
        parts.append(
            frozenset(
                (one.camera, at_ms * MS + one.offset_ns + draw(st.integers(-WINDOW_MS // 2, WINDOW_MS // 2)) * MS)
                for one in asked.exposures
            )
        )
    lines = {
        camera: sorted(one for part in parts for one in part if one[0] == camera) for camera in ("left", "right", "top")
    }
    turns = draw(st.permutations([camera for camera, line in lines.items() for _ in line]))
    heard = [lines[camera].pop(0) for camera in turns]
    return asked, set(parts), heard


@given(lines_of_parts())
def test_any_order_of_cameras_gives_the_same_parts(
    case: tuple[PartPlan, set[frozenset[tuple[str, int]]], list[tuple[str, int]]],
) -> None:
    asked, parts, heard = case
    assert grouped(asked, heard) == parts


@given(st.data())
def test_a_lost_view_never_takes_one_of_another_part(data: st.DataObject) -> None:
    asked = plan(("left", 0), ("right", 0))
    all_of_them = [(camera, (1000 + 100 * part) * MS) for part in range(5) for camera in ("left", "right")]
    kept = data.draw(st.lists(st.sampled_from(all_of_them), unique=True))
    for group in grouped(asked, data.draw(st.permutations(kept))):
        assert len({exposed_ns for _, exposed_ns in group}) == 1


def test_two_exposures_at_one_place_are_two_parts() -> None:
    asked = plan(("left", 0), ("right", 0))
    assert len(grouped(asked, [("left", 1000 * MS), ("left", 1001 * MS)])) == 2


def test_a_camera_without_views_has_parts_of_its_own() -> None:
    assert opening(plan(("left", 0)), "other", 7).exposure is None


def recipe(**more: Any) -> Recipe:
    fields = {
        "name": "r",
        "version": 1,
        "model": "m",
        "deadline_ms": 300,
        "evidence": {"mean_grey_min": 0, "mean_grey_max": 255, "sharpness_min": 0},
        "classes": {"spur": {"score": 0.5}},
    }
    return Recipe.model_validate(fields | more)


def test_regions_of_one_frame_are_one_exposure() -> None:
    views = [
        {"name": "a", "camera": "left", "region_px": (0, 0, 10, 10)},
        {"name": "b", "camera": "left", "region_px": (10, 0, 20, 10)},
        {"name": "c", "camera": "left", "offset_ms": 100},
    ]
    asked = part_plan(recipe(views=views), REFERENCE, ["left"], 10.0)
    assert [one.views for one in asked.exposures] == [("a", "b"), ("c",)]
    assert asked.complete_ns == asked.deadline_ns - asked.speak_before_ns == 290 * MS


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"views": [{"name": "a", "camera": "nobody"}]}, "of camera 'nobody'"),
        (
            {"views": [{"name": "a", "camera": "left"}, {"name": "b", "camera": "left", "offset_ms": 30}]},
            "closer than two windows",
        ),
        (
            {"views": [{"name": "a", "camera": "left", "offset_ms": 200}], "complete_within_ms": 150},
            "raise complete_within_ms",
        ),
    ],
)
def test_a_recipe_whose_views_cannot_come_together_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        part_plan(recipe(**more), REFERENCE, ["left"], 10.0)


def test_a_tolerance_of_neighbours_is_checked_for_all_pairs() -> None:
    offsets = (0, 100, 130)
    views = [
        {"name": f"v{ms}", "camera": camera, "offset_ms": ms}
        for ms, camera in zip(offsets, itertools.repeat("left"), strict=False)
    ]
    with pytest.raises(ConfigError, match="v100 and v130"):
        part_plan(recipe(views=views), REFERENCE, ["left"], 10.0)
