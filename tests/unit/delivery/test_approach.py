from appliance.delivery.approach import Approach
from appliance.messages import Trigger, TriggerFlag

MS = 1_000_000


def seen(count: int, period_ms: int, step: int = 10) -> Approach:
    approach = Approach()
    for number in range(1, count + 1):
        exposed_ns = number * period_ms * MS
        approach.see("cam0", Trigger(number, exposed_ns, encoder_count=number * step, flags=TriggerFlag.COUNTED))
    return approach


def test_what_is_not_known_is_near() -> None:
    assert Approach().is_near("cam0", 1_000_000)
    assert seen(1, 100).is_near("cam0", 1_000_000)
    assert Approach().is_encoder_near("cam0", 1_000_000)


def test_a_fast_line_is_near_earlier() -> None:
    assert [seen(10, 100).is_near("cam0", number) for number in (13, 14)] == [True, False]
    assert [seen(10, 10).is_near("cam0", number) for number in (35, 36)] == [True, False]
    assert [seen(10, 5000).is_near("cam0", number) for number in (12, 13)] == [True, False]


def test_an_encoder_position_is_as_near_as_its_steps_are_long() -> None:
    assert [seen(10, 100, step=7).is_encoder_near("cam0", count) for count in (91, 92)] == [True, False]


def test_a_passed_trigger_is_near() -> None:
    assert seen(10, 100).is_near("cam0", 3)
