import pytest

from appliance.messages import ModelIdentity, ModelRef
from appliance.messages.plan import (
    ALWAYS,
    JudgingPlan,
    PlanReport,
    PlanState,
    decode_plans,
    decode_report,
    encode_plans,
    encode_report,
    is_report,
)

REF = ModelRef("m", "1" * 64)


def test_plans_and_reports_come_back_as_they_were() -> None:
    plans = [JudgingPlan("a", REF), JudgingPlan("b", ModelRef("n"), ((5, None), (None, 3))), JudgingPlan("c", REF, ())]
    assert decode_plans(encode_plans(plans)) == plans
    reports = [
        PlanReport("a", REF, PlanState.READY, ModelIdentity("m", "2" * 64, "1" * 64)),
        PlanReport("b", REF, PlanState.FAILED, detail="no such folder"),
    ]
    assert decode_report(encode_report(reports)) == reports
    assert is_report(encode_report(reports))
    assert not is_report(encode_plans(plans))


NO_TEXT = b'{"plans": [{"recipe_sha256": "a", "model": {"name": []}, "spans": []}]}'


@pytest.mark.parametrize("message", [b"[]", b"{}", b'{"plans": 1}', b'{"plans": [1]}', b"x", NO_TEXT])
def test_what_is_no_plan_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a list|Expecting value|text expected"):
        decode_plans(message)


def test_a_span_begins_with_its_first_moment_and_ends_before_its_second() -> None:
    plan = JudgingPlan("a", REF, ((10, 20), (30, None)))
    assert [plan.covers(at) for at in (9, 10, 19, 20, 29, 30, 99)] == [False, True, True, False, False, True, True]
    assert JudgingPlan("a", REF, ALWAYS).covers(0)
    assert not JudgingPlan("a", REF, ()).covers(0)


def test_a_name_asks_for_any_bundle_of_that_name_a_hash_for_one() -> None:
    model = ModelIdentity("m", "2" * 64, "1" * 64)
    assert model.is_asked_by(ModelRef("m"))
    assert model.is_asked_by(REF)
    assert not model.is_asked_by(ModelRef("m", "3" * 64))
    assert not model.is_asked_by(ModelRef("n"))
