from appliance.delivery.model_health import ModelHealth
from appliance.messages import Finding, ModelRef, Reason, VerdictWord


def finding(trigger_id: int, reason: Reason = Reason.MODEL_ERROR, view: str = "whole") -> Finding:
    word = VerdictWord.UNKNOWN if reason else VerdictWord.OK
    return Finding("cam0", trigger_id, word, reason, view=view)


def heard(health: ModelHealth, *findings: Finding) -> list[bool]:
    return [health.heard(one, 3) for one in findings]


def test_errors_in_a_row_make_a_model_fail_and_one_good_frame_starts_over() -> None:
    assert heard(ModelHealth(), finding(1), finding(2), finding(3)) == [False, False, True]
    good = finding(3, Reason.NONE)
    assert heard(ModelHealth(), finding(1), finding(2), good, finding(4), finding(5)) == [False] * 5


def test_views_of_one_frame_count_once() -> None:
    assert heard(ModelHealth(), finding(1), finding(1, view="b"), finding(1, view="c"), finding(2)) == [False] * 4


def test_a_frame_that_the_model_never_saw_says_nothing_of_it() -> None:
    doubted = finding(2, Reason.IMAGE_INVALID)
    assert heard(ModelHealth(), finding(1), doubted, finding(3), finding(4)) == [False, False, False, True]


def test_a_failed_model_is_told_once_until_it_works_again() -> None:
    health = ModelHealth()
    assert heard(health, finding(1), finding(2), finding(3))[-1]
    health.has_failed("a", ModelRef("m"), "boom")
    assert heard(health, finding(4), finding(5)) == [False, False]
    heard(health, finding(6, Reason.NONE))
    assert health.failed is None


def test_another_model_starts_without_guilt() -> None:
    health = ModelHealth()
    heard(health, finding(1), finding(2))
    health.changed("a")
    assert heard(health, finding(3)) == [False]
