from appliance.testing.faults.plan import Kind, make_plan

PROCESSES = ("publish", "inspect", "record", "grab-cam0")


def test_a_seed_draws_the_same_plan_again_and_another_one_another() -> None:
    assert make_plan(1, 50, PROCESSES) == make_plan(1, 50, PROCESSES)
    assert make_plan(1, 50, PROCESSES) != make_plan(2, 50, PROCESSES)


def test_a_plan_kills_exactly_as_often_as_asked() -> None:
    for kills in (1, 2, 50):
        assert sum(fault.deaths for fault in make_plan(3, kills, PROCESSES)) == kills


def test_a_long_plan_has_every_kind_and_kills_every_process() -> None:
    plan = make_plan(1, 1000, PROCESSES)
    assert {fault.kind for fault in plan} == set(Kind) - {Kind.POWER_CUT}
    assert {name for fault in plan if fault.deaths for name in fault.victims} == set(PROCESSES)
    assert {fault.victims[0] for fault in plan if fault.kind is Kind.STOP} == set(PROCESSES)
