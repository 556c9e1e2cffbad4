"""Result lane between real sockets: order, gaps, lost tails, greeting."""

import json
import time
from collections.abc import Iterator

import pytest

from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.wire.result_lane import Gap, Heartbeat, Result, ResultPublisher, ResultSubscriber
from appliance.wire.sockets import HEARTBEAT_INTERVAL_MS, HEARTBEAT_TIMEOUT_MS

AT_NS = 1_700_000_000_000_000_000


@pytest.fixture
def lane() -> Iterator[ResultPublisher]:
    lane = ResultPublisher("tcp://127.0.0.1:0")
    yield lane
    lane.close()


def wait_for_subscriptions(lane: ResultPublisher, wanted: int) -> None:
    def are_there() -> bool:
        lane.take_subscriptions()
        return lane.subscriptions == wanted

    wait_for(are_there)


def publish(lane: ResultPublisher, seq: int, epoch: str = "e1") -> None:
    lane.publish("result.line1.tabs", epoch, seq, json.dumps({"seq": seq}).encode())


def test_rows_arrive_in_order_with_epoch_and_seq(lane: ResultPublisher) -> None:
    with ResultSubscriber(lane.bound_endpoint) as subscriber:
        wait_for_subscriptions(lane, 5)
        for seq in (1, 2, 3):
            publish(lane, seq)
        got = [subscriber.receive(PATIENCE_S) for _ in range(3)]
    assert got == [Result("result.line1.tabs", "e1", seq, json.dumps({"seq": seq}).encode()) for seq in (1, 2, 3)]


def test_a_skipped_row_and_a_lost_tail_are_reported(lane: ResultPublisher) -> None:
    with ResultSubscriber(lane.bound_endpoint) as subscriber:
        wait_for_subscriptions(lane, 5)
        publish(lane, 7)
        publish(lane, 10)
        lane.heartbeat("heartbeat.line1.tabs", "e1", 12, 1, AT_NS)
        got = [subscriber.receive(PATIENCE_S) for _ in range(5)]
    assert isinstance(got[0], Result)
    assert got[1] == Gap("e1", 8, 9)
    assert isinstance(got[2], Result)
    assert got[3] == Gap("e1", 11, 12)
    assert got[4] == Heartbeat("heartbeat.line1.tabs", "e1", 12, 1, "2023-11-14T22:13:20.000000Z")


def test_a_remade_journal_starts_a_new_count(lane: ResultPublisher) -> None:
    with ResultSubscriber(lane.bound_endpoint) as subscriber:
        wait_for_subscriptions(lane, 5)
        publish(lane, 7)
        publish(lane, 2, epoch="e2")
        got = [subscriber.receive(PATIENCE_S) for _ in range(3)]
    assert got[1] == Gap("e2", 1, 1)


def test_a_late_joiner_is_greeted_with_the_head(lane: ResultPublisher) -> None:
    lane.heartbeat("heartbeat.line1.tabs", "e1", 12, 1, AT_NS)
    with ResultSubscriber(lane.bound_endpoint, epoch="e1", next_seq=11) as subscriber:
        wait_for_subscriptions(lane, 5)
        assert subscriber.receive(PATIENCE_S) == Gap("e1", 11, 12)
        greeting = subscriber.receive(PATIENCE_S)
    assert isinstance(greeting, Heartbeat)
    assert (greeting.topic, greeting.head_seq) == ("welcome", 12)


def test_a_subscriber_that_did_not_read_for_long_stays_connected_and_knows_what_it_lost(lane: ResultPublisher) -> None:
    rows = 30_000
    body = b"x" * 1000
    with ResultSubscriber(lane.bound_endpoint, epoch="e1") as subscriber:  # row 1 may be among those lost
        wait_for_subscriptions(lane, 5)
        for seq in range(1, rows + 1):
            lane.publish("result.line1.tabs", "e1", seq, body)
        time.sleep(2 * (HEARTBEAT_INTERVAL_MS + HEARTBEAT_TIMEOUT_MS) / 1000)  # a full queue would answer no heartbeat
        missed = seen = 0
        while seen + missed < rows:
            message = subscriber.receive(0.2)
            if isinstance(message, Gap):
                missed += message.last_seq - message.first_seq + 1
            elif isinstance(message, Result):
                seen += 1
            elif message is None:
                lane.take_subscriptions()  # as the owner's loop does: a peer that had to connect again is let in by it
                lane.heartbeat("heartbeat.line1.tabs", "e1", rows, 1, AT_NS)
    assert seen > 0
    assert seen + missed == rows  # a publisher's queue has its limit


def test_unsubscribed_peers_are_no_longer_counted(lane: ResultPublisher) -> None:
    with ResultSubscriber(lane.bound_endpoint), ResultSubscriber(lane.bound_endpoint):
        wait_for_subscriptions(lane, 10)
    wait_for_subscriptions(lane, 0)
