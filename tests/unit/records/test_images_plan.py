from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.records.absence import Absence
from appliance.records.image_plan import plan_images, sampled, wants_images
from appliance.records.images import ImageResult, image_field
from appliance.testing.image_records import EPOCH, defect, picture_record


def views(*names: tuple[str, str, int]) -> Sequence[dict[str, Any]]:
    return [{"camera": cam, "view": view, "trigger_id": number, "region_px": None} for cam, view, number in names]


@pytest.mark.parametrize(("verdict", "kind"), [("OK", "ok"), ("NG", "reject"), ("UNKNOWN", "reject")])
def test_a_picture_lies_under_its_verdicts_kind_and_its_hour_of_exposure(verdict: str, kind: str) -> None:
    (plan,) = plan_images(picture_record(7, verdict))
    assert plan.stem == f"{kind}/20261122/21/{EPOCH}-7-cam0.whole"


def test_the_hour_is_utc_whatever_the_record_says() -> None:
    (plan,) = plan_images(picture_record(captured_at="2026-11-23T00:30:00+02:00"))
    assert "/20261122/22/" in plan.stem


def test_views_of_one_frame_share_a_picture_named_by_the_first() -> None:
    record = picture_record(views=views(("cam0", "left", 5), ("cam0", "right", 5), ("cam1", "top", 9)))
    shared, single = plan_images(record)
    assert (shared.trigger_id, shared.views, shared.stem[-10:]) == (5, ("left", "right"), "-cam0.left")
    assert (single.camera, single.views) == ("cam1", ("top",))


def test_two_exposures_of_one_camera_are_two_pictures() -> None:
    plans = plan_images(picture_record(views=views(("cam0", "bright", 5), ("cam0", "dark", 6))))
    assert len({plan.stem for plan in plans}) == 2


def test_dashes_in_names_never_let_two_views_share_a_file() -> None:
    plans = plan_images(picture_record(views=views(("cam-a", "b", 1), ("cam", "a-b", 1))))
    assert len({plan.stem for plan in plans}) == 2


def test_a_picture_shows_the_defects_of_its_own_views_only() -> None:
    box = (1.0, 2.0, 3.0, 4.0)
    record = picture_record(
        views=views(("cam0", "left", 5), ("cam0", "right", 6)),
        defects=[defect("left", box), defect("right", box, class_name="scratch")],
    )
    assert [[each["class_name"] for each in plan.defects] for plan in plan_images(record)] == [["burr"], ["scratch"]]


def test_every_view_stands_either_in_views_or_in_missing() -> None:
    record = picture_record(views=views(("cam0", "left", 5), ("cam0", "right", 5)))
    field = image_field(ImageResult(plan, why=Absence.SHELF_FULL) for plan in plan_images(record))
    assert field == {
        "views": [],
        "missing": [
            {"camera": "cam0", "view": "left", "why": "shelf_full"},
            {"camera": "cam0", "view": "right", "why": "shelf_full"},
        ],
    }


def test_rejects_are_always_wanted_and_other_kinds_of_records_never() -> None:
    assert wants_images(picture_record(verdict="NG"), 0.0)
    assert wants_images(picture_record(verdict="UNKNOWN"), 0.0)
    assert not wants_images(picture_record(verdict="OK"), 0.0)
    assert wants_images(picture_record(verdict="OK"), 1.0)
    assert not wants_images(picture_record(kind="late_finding"), 1.0)


def test_the_sample_is_the_same_in_every_process_and_release() -> None:
    assert [number for number in range(400) if sampled(EPOCH, number, 0.02)] == [28, 82, 169, 191, 279]


@given(st.text(alphabet="0123456789abcdef", min_size=16, max_size=16), st.integers(0, 2**40), st.floats(0.01, 0.99))
def test_a_sample_is_as_large_as_its_rate_says(epoch: str, first: int, rate: float) -> None:
    count = 2000
    drawn = sum(sampled(epoch, number, rate) for number in range(first, first + count))
    assert abs(drawn - count * rate) <= 6 * (count * rate * (1 - rate)) ** 0.5 + 1


@given(st.integers(0, 2**63), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_only_adds_to_the_sample(number: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert sampled(EPOCH, number, high) or not sampled(EPOCH, number, low)
    assert sampled(EPOCH, number, 1.0)
    assert not sampled(EPOCH, number, 0.0)
