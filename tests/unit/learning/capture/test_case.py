import numpy as np
import pytest

from appliance.learning.capture.case import RESULT_PATIENCE_NS, SHADOW_PATIENCE_NS, Case, Cases
from appliance.learning.capture.folder import kind_of
from appliance.learning.capture.provenance import describe
from appliance.testing.captured_set import frame, result

PIXELS = np.zeros((30, 40), np.uint8)


def two_views(left: str | None, right: str | None, whole: str) -> dict:
    """A part with two views in one frame of cam0, and one of cam1."""
    record = result(7, whole, [])
    names = [("cam0", "left", left), ("cam0", "right", right), ("cam1", "top", "NG")]
    record["views"] = [
        {"camera": camera, "view": view, "trigger_id": 7, "frame_id": 7, "region_px": None} for camera, view, _ in names
    ]
    record["finding"] = [
        {"camera": camera, "view": view, "verdict": verdict, "reason": None, "detail": None}
        for camera, view, verdict in names
    ]
    record["defects"] = [
        {"camera": camera, "view": view, "class_name": "open", "score": 0.9, "box_px": [1, 1, 5, 5]}
        for camera, view, verdict in names
        if verdict == "NG"
    ]
    return record


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("OK", "OK", "OK"),
        ("OK", "NG", "NG"),
        ("UNKNOWN", "OK", "UNKNOWN"),
        ("UNKNOWN", "NG", "NG"),
        (None, "OK", "UNKNOWN"),  # not found in time: the part's own verdict counts
    ],
)
def test_a_frame_is_what_its_own_views_show_whatever_other_cameras_saw(left, right, expected):
    case = Case("cam0", 7, 0, frame(7, PIXELS), two_views(left, right, "UNKNOWN"))
    assert case.verdict == expected
    assert len(case.detections("defects")) == (left, right).count("NG")
    row = describe(case, frame(7, PIXELS), [])
    assert [view["view"] for view in row["views"]] == ["left", "right"]
    assert (row["verdict"], row["inspection_verdict"]) == (expected, "UNKNOWN")
    assert kind_of(row) == ("cam0", expected + " open*1" * (left, right).count("NG"))


def test_without_a_result_all_that_it_tells_is_null():
    row = describe(Case("cam0", 7, 0, frame(7, PIXELS)), frame(7, PIXELS), [{"reason": "requested"}])
    for name in ("verdict", "inspection_id", "part_id", "recipe", "model", "ledger_epoch"):
        assert row[name] is None
    assert (row["defects"], row["views"], row["trigger_id"], row["is_simulated"]) == ([], [], 7, True)


def test_a_case_is_ripe_with_its_record_and_with_the_shadows_opinion_where_one_is_wanted():
    cases = Cases()
    cases.add_frame(frame(7, PIXELS), 0)
    assert not list(cases.ripe(1, has_shadow=False))
    cases.add_record({"kind": "inspection", **result(7, "OK", [])}, 2)
    assert not list(cases.ripe(3, has_shadow=True))
    shadow = {"kind": "shadow_finding", "camera": "cam0", "trigger_id": 7}
    cases.add_record(shadow, 4)
    (case,) = cases.ripe(5, has_shadow=True)
    assert case.record is not None
    assert (case.shadows, len(cases)) == ([shadow], 0)


def test_nobody_waits_for_ever_and_what_comes_later_opens_no_second_case():
    cases = Cases()
    cases.add_frame(frame(7, PIXELS), 0)
    cases.add_record({"kind": "inspection", **result(8, "OK", [])}, 0)
    assert [case.trigger_id for case in cases.ripe(SHADOW_PATIENCE_NS + 1, has_shadow=True)] == [8]
    assert [case.trigger_id for case in cases.ripe(RESULT_PATIENCE_NS + 1, has_shadow=True)] == [7]
    cases.add_record({"kind": "inspection", **result(7, "NG", [])}, RESULT_PATIENCE_NS + 2)
    cases.add_record({"kind": "late_finding", "camera": "cam0", "trigger_id": 9}, 0)
    assert len(cases) == 0


@pytest.mark.parametrize(
    ("frame_id", "reason", "was_delivered"), [(7, None, True), (None, None, False), (7, "incomplete_frame", False)]
)
def test_a_frame_that_never_came_whole_is_not_missed(frame_id, reason, was_delivered):
    record = result(7, "UNKNOWN", [])
    record["views"][0]["frame_id"], record["reason"] = frame_id, reason
    assert Case("cam0", 7, 0, None, record).was_delivered is was_delivered
