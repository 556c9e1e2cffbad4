"""The stream's rules on single cases; `test_result_stream_machine.py` tries any order of events."""

from collections.abc import Callable

import pytest

from appliance.client.items import Cursor, JournalRecreated, RangeLost, Result, StreamItem
from appliance.client.result_stream import HOLD_ROWS, MOST_REFUSALS, Acknowledge, AskPositions, AskRows, ResultStream
from appliance.errors import PublishError


def taken(stream: ResultStream) -> list[StreamItem]:
    return list(iter(stream.take, None))


def seqs(items: list[StreamItem]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Result)]


def row(seq: int) -> tuple[int, bytes]:
    return seq, b'{"seq":%d}' % seq


def rows(first: int, last: int) -> list[tuple[int, bytes]]:
    return [row(seq) for seq in range(first, last + 1)]


def caught_up(last: int = 3) -> ResultStream:
    """A stream that stands at `last` of epoch e, which is the journal's head."""
    stream = ResultStream(Cursor("e", last))
    stream.request()
    stream.rows("e", last, [])
    return stream


def test_a_new_consumer_begins_at_the_oldest_result_kept() -> None:
    stream = ResultStream(None)
    assert stream.request() == AskPositions()
    stream.positions("e", 41)
    assert stream.request() == AskRows("e", 41, 540)
    stream.rows("e", 42, rows(41, 42))
    assert taken(stream) == [Result("e", 41, b'{"seq":41}'), Result("e", 42, b'{"seq":42}')]
    assert stream.request() is None


def test_a_new_consumer_of_an_empty_journal_begins_at_one() -> None:
    stream = ResultStream(None)
    stream.request()
    stream.positions("e", 0)
    assert stream.request() == AskRows("e", 1, 500)
    stream.rows("e", 0, [])
    assert stream.request() is None
    stream.live("e", *row(1))
    assert seqs(taken(stream)) == [1]


def test_results_in_order_pass_without_a_request() -> None:
    stream = caught_up()
    for number in (4, 5, 6):
        stream.live("e", *row(number))
    assert seqs(taken(stream)) == [4, 5, 6]
    assert stream.request() is None


def test_a_gap_on_the_lane_is_filled_from_the_journal_and_what_came_is_kept() -> None:
    stream = caught_up()
    stream.live("e", *row(4))
    stream.live("e", *row(8))
    assert seqs(taken(stream)) == [4]
    assert stream.request() == AskRows("e", 5, 7)
    stream.live("e", *row(9))
    stream.rows("e", 9, rows(5, 7))
    assert seqs(taken(stream)) == [5, 6, 7, 8, 9]
    assert stream.request() is None


def test_doubles_from_lane_and_journal_are_dropped() -> None:
    stream = caught_up()
    stream.live("e", *row(5))
    stream.request()
    stream.live("e", *row(4))
    stream.live("e", *row(4))
    stream.rows("e", 5, rows(4, 5))
    stream.live("e", *row(5))
    assert seqs(taken(stream)) == [4, 5]


def test_a_heartbeat_shows_a_lost_tail() -> None:
    stream = caught_up()
    stream.head("e", 3)
    assert stream.request() is None
    stream.head("e", 5)
    assert stream.request() == AskRows("e", 4, 503)


def test_what_lies_far_ahead_is_not_held() -> None:
    stream = caught_up(0)
    stream.live("e", *row(HOLD_ROWS + 1))
    stream.live("e", *row(HOLD_ROWS))
    assert stream.request() == AskRows("e", 1, 500)
    stream.rows("e", HOLD_ROWS + 1, rows(1, 500))
    assert seqs(taken(stream)) == list(range(1, 501))
    assert stream.request() == AskRows("e", 501, HOLD_ROWS - 1)
    stream.rows("e", HOLD_ROWS + 1, rows(501, HOLD_ROWS - 1))
    assert seqs(taken(stream)) == list(range(501, HOLD_ROWS + 1))
    assert stream.request() == AskRows("e", HOLD_ROWS + 1, HOLD_ROWS + 500)


def test_a_removed_range_is_told_and_the_stream_goes_on_behind_it() -> None:
    stream = ResultStream(Cursor("e", 3))
    stream.request()
    stream.gone(10)
    (item,) = taken(stream)
    assert item == RangeLost("e", 4, 9)
    assert item.cursor == Cursor("e", 9)
    assert stream.request() is None
    stream.live("e", *row(10))
    assert seqs(taken(stream)) == [10]


def test_a_removed_range_does_not_cover_what_the_lane_brought() -> None:
    stream = ResultStream(Cursor("e", 3))
    stream.request()
    stream.live("e", *row(6))
    stream.gone(10)
    assert taken(stream) == [RangeLost("e", 4, 5), Result("e", 6, b'{"seq":6}'), RangeLost("e", 7, 9)]


def test_a_hole_in_the_journal_is_told_instead_of_asked_for_for_ever() -> None:
    stream = ResultStream(Cursor("e", 0))
    stream.request()
    stream.rows("e", 9, [row(1), row(4)])
    assert [type(item) for item in taken(stream)] == [Result, RangeLost, Result]
    assert stream.request() == AskRows("e", 5, 504)
    stream.rows("e", 9, [])
    assert taken(stream) == [RangeLost("e", 5, 9)]
    assert stream.request() is None


def test_another_epoch_on_the_lane_is_believed_only_when_the_journal_says_so() -> None:
    stream = caught_up()
    stream.live("old", *row(2))
    assert taken(stream) == []
    assert stream.request() == AskRows("e", 4, 503)
    stream.rows("e", 3, [])
    stream.head("new", 7)
    stream.request()
    stream.recreated("new")
    (item,) = taken(stream)
    assert item == JournalRecreated(Cursor("e", 3), "new")
    assert item.cursor == Cursor("new", 0)
    assert stream.request() == AskRows("new", 1, 500)


def test_an_old_copy_of_the_journal_is_refused() -> None:
    stream = ResultStream(Cursor("e", 30))
    stream.request()
    with pytest.raises(PublishError, match="ends at 20, before this consumer's cursor 30"):
        stream.rows("e", 20, [])


def test_results_that_overtake_an_answer_are_no_old_copy() -> None:
    stream = ResultStream(Cursor("e", 3))
    stream.request()
    stream.live("e", *row(4))
    stream.rows("e", 3, [])
    assert seqs(taken(stream)) == [4]


def test_an_acknowledgement_goes_first_and_the_newest_stands_for_all() -> None:
    stream = caught_up()
    stream.acknowledge(Cursor("e", 2))
    stream.acknowledge(Cursor("e", 3))
    assert stream.request() == Acknowledge(Cursor("e", 3))
    assert stream.request() is None
    assert stream.is_acknowledging
    stream.confirmed()
    assert stream.acknowledged == Cursor("e", 3)
    assert not stream.is_acknowledging


def test_a_lost_acknowledgement_is_sent_again_unless_a_newer_one_waits() -> None:
    stream = caught_up()
    stream.acknowledge(Cursor("e", 2))
    stream.request()
    stream.request_lost()
    assert stream.request() == Acknowledge(Cursor("e", 2))
    stream.acknowledge(Cursor("e", 3))
    stream.request_lost()
    assert stream.request() == Acknowledge(Cursor("e", 3))


def test_an_acknowledgement_to_a_journal_made_anew_makes_the_stream_look() -> None:
    stream = caught_up()
    stream.acknowledge(Cursor("e", 3))
    stream.request()
    stream.recreated("new")
    assert stream.request() == AskRows("e", 4, 503)
    stream.recreated("new")
    assert taken(stream) == [JournalRecreated(Cursor("e", 3), "new")]


def test_a_refused_acknowledgement_waits_while_results_go_on() -> None:
    stream = caught_up()
    stream.acknowledge(Cursor("e", 3))
    stream.request()
    assert stream.refused("disk full")
    assert stream.refusal == "disk full"
    assert stream.request() is None
    stream.live("e", *row(4))
    assert seqs(taken(stream)) == [4]
    stream.acknowledge_again()
    assert stream.request() == Acknowledge(Cursor("e", 3))
    stream.confirmed()
    assert stream.refusal is None
    stream.acknowledge_again()
    assert stream.request() is None


def test_rows_that_are_refused_again_and_again_are_an_error_that_says_what_was_asked() -> None:
    stream = ResultStream(Cursor("e", 3))
    for _ in range(MOST_REFUSALS - 1):
        stream.request()
        assert not stream.refused("can't be read")
    stream.request()
    with pytest.raises(PublishError, match=r"refuses .*first_seq=4.*, 5 times in a row: can't be read"):
        stream.refused("can't be read")


def test_a_lost_request_is_made_again() -> None:
    stream = ResultStream(Cursor("e", 3))
    assert stream.request() == AskRows("e", 4, 503)
    assert stream.request() is None
    stream.request_lost()
    assert stream.request() == AskRows("e", 4, 503)


def test_silence_on_the_lane_makes_the_stream_look_at_the_journal() -> None:
    stream = caught_up()
    assert stream.request() is None
    stream.silence()
    assert stream.request() == AskRows("e", 4, 503)


@pytest.mark.parametrize("answer", [lambda s: s.gone(2), lambda s: s.recreated("e")])
def test_an_answer_that_brings_nothing_is_not_asked_for_again_at_once(
    answer: Callable[[ResultStream], None],
) -> None:
    stream = ResultStream(Cursor("e", 3))
    stream.head("e", 9)
    stream.request()
    answer(stream)
    assert stream.request() is None
    stream.head("e", 9)
    assert stream.request() is not None


def test_a_consumer_that_is_behind_is_not_buried() -> None:
    stream = ResultStream(Cursor("e", 0))
    stream.request()
    stream.rows("e", 5000, rows(1, 500))
    assert stream.request() is None
    stream.take()
    assert stream.request() == AskRows("e", 501, 1000)
