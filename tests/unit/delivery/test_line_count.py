from hypothesis import given
from hypothesis import strategies as st

from appliance.delivery.line_count import Agreement, LineCount

MS = 1_000_000
TOLERANCE_MS = 1000


def synchronised(trigger_id: int = 10, controller_count: int = 110) -> LineCount:
    count = LineCount(TOLERANCE_MS)
    count.see(trigger_id, 0)
    count.resync(controller_count, trigger_id)
    return count


def test_without_resync_a_count_means_nothing() -> None:
    count = LineCount(TOLERANCE_MS)
    count.see(5, 0)
    assert count.tell(5, 1) is Agreement.UNSYNCHRONISED
    assert count.trigger_id_of(5) is None
    assert count.our_count == 5


def test_an_equal_count_agrees() -> None:
    count = synchronised()
    count.see(11, 100 * MS)
    assert count.tell(111, 120 * MS) is Agreement.AGREES
    assert count.trigger_id_of(112) == 12
    assert count.our_count == 111


def test_a_controller_that_is_ahead_is_right_if_we_get_there_in_time() -> None:
    count = synchronised()
    assert count.tell(111, 100 * MS) is Agreement.AHEAD
    assert count.overdue(1100 * MS) is None
    count.see(11, 105 * MS)
    assert count.overdue(5000 * MS) is None


def test_a_trigger_that_never_comes_is_a_mismatch_after_the_tolerance() -> None:
    count = synchronised()
    count.tell(111, 100 * MS)
    assert count.overdue(1100 * MS) is None
    told = count.overdue(1101 * MS)
    assert told is not None
    assert "counted 111, we counted 110" in told
    assert count.tell(112, 1200 * MS) is Agreement.MISMATCH
    assert count.trigger_id_of(112) is None
    assert count.mismatches == 1


def test_an_exposure_after_the_tolerance_does_not_make_it_good() -> None:
    count = synchronised()
    count.tell(111, 100 * MS)
    count.see(11, 1200 * MS)
    assert count.overdue(1300 * MS) is not None


def test_a_controller_that_lags_is_right_within_the_tolerance() -> None:
    count = synchronised()
    for number in range(11, 16):
        count.see(number, number * 100 * MS)
    assert count.tell(111, 2000 * MS) is Agreement.AGREES


def test_a_controller_that_stays_behind_is_a_mismatch() -> None:
    count = synchronised()
    for number in range(11, 40):
        count.see(number, number * 100 * MS)
    assert count.tell(112, 3950 * MS) is Agreement.MISMATCH
    count.resync(139, 39)
    assert count.mismatch is None
    assert count.tell(139, 3960 * MS) is Agreement.AGREES


def test_only_a_standing_line_has_a_last_trigger() -> None:
    count = synchronised()
    assert not count.is_standing(500 * MS)
    assert count.is_standing(1000 * MS)


@given(st.lists(st.integers(20, 3000), min_size=1, max_size=60), st.data())
def test_counts_that_lag_less_than_the_tolerance_never_differ(pauses_ms: list[int], data: st.DataObject) -> None:
    """Each trigger is told by the controller up to 900 ms after its exposure, or up to 900 ms before we read it."""
    count, now_ms, events = synchronised(0, 0), 0, []
    for number, pause_ms in enumerate(pauses_ms, start=1):
        now_ms += pause_ms
        events.append((now_ms + data.draw(st.integers(0, 900)), 0, number, now_ms))
        events.append((now_ms + data.draw(st.integers(0, 900)), 1, number, now_ms))
    reading = sorted(event for event in events if event[1] == 0)
    read_at = itertools_accumulate_max([at for at, *_ in reading])  # triggers are read in order
    told = [event for event in events if event[1] == 1]
    timeline = sorted(
        [
            (at, 0, number, exposed)
            for at, (_, _, number, exposed) in zip(read_at, sorted(reading, key=lambda e: e[2]), strict=True)
        ]
        + told
    )
    for at_ms, kind, number, exposed_ms in timeline:
        assert count.overdue(at_ms * MS) is None
        if kind == 0:
            count.see(number, exposed_ms * MS)
        else:
            assert count.tell(number, at_ms * MS) in {Agreement.AGREES, Agreement.AHEAD}


def itertools_accumulate_max(values: list[int]) -> list[int]:
    highest, result = 0, []
    for value in values:
        highest = max(highest, value)
        result.append(highest)
    return result
