from typing import Any

from appliance.box.health_report import liveness, readiness


def status(**changes: Any) -> dict[str, Any]:
    return {
        "line_state": {"ready": True, "not_ready_because": [], "error_id": 0},
        "processes": {"inspect": {"up": True}, "record": {"up": True}},
        "cameras": {"cam0": {"state": "capturing"}},
        "drift": {"not_ready_on_alarm": False, "alarms": [{"detail": "cam0 gets dark"}]},
        **changes,
    }


def test_all_is_well() -> None:
    assert liveness(status()).content == {"healthy": True, "down": []}
    assert readiness(status()).content == {"ready": True, "not_ready_because": [], "error_id": 0}
    assert liveness(status()).is_good
    assert readiness(status()).is_good


def test_a_recorder_that_is_down_is_unhealthy_and_stops_no_line() -> None:
    without = status(processes={"inspect": {"up": True}, "record": {"up": False}})
    assert liveness(without).content == {"healthy": False, "down": ["record"]}
    assert readiness(without).is_good


def test_the_publishers_reasons_come_first() -> None:
    line = {"ready": False, "not_ready_because": ["too many rejects"], "error_id": 2}
    report = readiness(status(line_state=line, cameras={"cam0": {"state": "lost"}}))
    assert not report.is_good
    assert report.content["not_ready_because"] == ["too many rejects", "camera cam0 is lost"]
    assert report.content["error_id"] == 2


def test_an_inspector_that_hangs_is_not_ready_whatever_the_publisher_knows() -> None:
    report = readiness(status(processes={"inspect": {"up": False}}))
    assert report.content["not_ready_because"] == ["the inspector is down"]
    assert not report.is_good


def test_nobody_vouches_for_a_line_without_publisher() -> None:
    report = readiness(status(line_state=None))
    assert report.content == {"ready": False, "not_ready_because": ["the publisher is down"], "error_id": None}


def test_drift_ends_readiness_only_where_that_is_asked_for() -> None:
    report = readiness(status(drift={"not_ready_on_alarm": True, "alarms": [{"detail": "cam0 gets dark"}]}))
    assert report.content["not_ready_because"] == ["drift: cam0 gets dark"]
