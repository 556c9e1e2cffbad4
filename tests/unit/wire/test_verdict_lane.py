import pytest

from appliance.errors import PublishError
from appliance.wire.client_keys import Role
from appliance.wire.sockets import needed_keys
from appliance.wire.verdict_lane import VerdictPublisher, VerdictSubscriber


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5571", "tcp://[::1]:5571", "tcp://localhost:1", "ipc:///x", "inproc://x"]
)
def test_loopback_needs_no_keys(endpoint: str) -> None:
    assert needed_keys(endpoint, None, Role.VERDICT) is None


@pytest.mark.parametrize(
    "endpoint", ["tcp://0.0.0.0:5571", "tcp://*:5571", "tcp://10.0.0.1:5571", "tcp://host:1", "ipc://", "5571", ""]
)
def test_endpoints_that_others_could_reach_are_refused(endpoint: str) -> None:
    with pytest.raises(PublishError, match="keys add NAME --role verdict"):
        needed_keys(endpoint, None, Role.VERDICT)


def test_a_busy_endpoint_is_one_clear_error(tmp_path: object) -> None:
    endpoint = f"ipc://{tmp_path}/lane"
    first = VerdictPublisher("tcp://127.0.0.1:0")
    port = first.bound_endpoint
    with pytest.raises(PublishError, match="can't be bound"):
        VerdictPublisher(port)
    first.close()
    VerdictPublisher(endpoint).close()


def test_a_subscriber_gets_verdicts_and_sees_the_publisher_leave() -> None:
    lane = VerdictPublisher("tcp://127.0.0.1:0")
    with VerdictSubscriber(lane.bound_endpoint) as subscriber:
        while lane.subscriptions < 2:
            lane.take_subscriptions()
        lane.send("verdict.line1.tabs", b"{}")
        assert subscriber.receive(5) == ("verdict.line1.tabs", b"{}")
        assert subscriber.is_connected
        lane.close()
        while subscriber.is_connected:
            subscriber.receive(0.05)
