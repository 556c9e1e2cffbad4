import select
from pathlib import Path

import pytest

from appliance.errors import PublishError
from appliance.wire.client_keys import Role
from appliance.wire.sockets import needed_keys
from appliance.wire.verdict_lane import VERDICT_TOPICS, WELCOME, VerdictPublisher, VerdictSubscriber


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


def test_who_asks_for_it_is_welcomed_at_each_connect(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/lane"
    with (
        VerdictSubscriber(endpoint, (*VERDICT_TOPICS, WELCOME)) as asks,
        VerdictSubscriber(endpoint, (*VERDICT_TOPICS, "line.")) as does_not,
    ):
        for seq in (b"7", b"8"):  # the second one after a restart
            lane = VerdictPublisher(endpoint)
            lane.welcome(b'{"ledger_epoch":"e1","verdict_seq":%b}' % seq)
            while lane.subscriptions < 6:
                lane.take_subscriptions()
                assert asks.is_connected in {True, False}  # a look at the socket lets it subscribe again
                assert does_not.is_connected in {True, False}
            lane.send_state("line.line1.tabs", b"{}")
            assert asks.receive(5) == (WELCOME, b'{"ledger_epoch":"e1","verdict_seq":%b}' % seq)
            assert does_not.receive(5) == ("line.line1.tabs", b"{}")
            lane.close()


def test_a_loop_sleeps_on_the_descriptor_and_asks_before(tmp_path: Path) -> None:
    lane = VerdictPublisher(f"ipc://{tmp_path}/lane")
    with VerdictSubscriber(lane.bound_endpoint):
        while lane.subscriptions < 2:
            if not lane.is_waiting:
                assert select.select([lane.fileno()], [], [], 5)[0]
            lane.take_subscriptions()
        assert not lane.is_waiting
    lane.close()
