import pytest

from appliance.errors import RingError
from appliance.messages import Reason
from appliance.ring import RESERVED, OverflowPolicy, SlotState, SlotTable

INSPECTOR, RECORDER = 7, 8


def table_of(
    slots: int = 6, *, quota: int = 99, overflow: OverflowPolicy = OverflowPolicy.DROP_NEWEST, inspector: bool = True
) -> SlotTable:
    table = SlotTable(slots, lease_quota=quota, overflow=overflow)
    if inspector:
        table.add_reader(INSPECTOR, is_primary=True)
    return table


def fill(table: SlotTable) -> tuple[int, Reason]:
    slot = table.loan()
    assert slot is not None
    return slot, table.receive(slot).reason


def lend_next(table: SlotTable) -> int:
    slot = table.next_held()
    assert slot is not None
    table.lend(slot, table.takers(slot))
    return slot


def test_two_slots_stay_with_the_camera_when_nobody_releases() -> None:
    table = table_of(6)
    reasons = []
    for _ in range(8):
        reasons.append(fill(table)[1])
        if reasons[-1] is Reason.NONE:
            lend_next(table)
    assert reasons == [Reason.NONE] * 4 + [Reason.RING_FULL] * 4
    assert table.states.count(SlotState.FREE) == RESERVED
    assert table.dropped == 4


def test_loans_go_in_slot_order_and_wrap() -> None:
    table = table_of(4)
    assert [table.loan() for _ in range(5)] == [0, 1, 2, 3, None]
    table.abandon(2)
    table.abandon(0)
    assert [table.loan() for _ in range(3)] == [0, 2, None]


def test_drop_oldest_gives_up_the_frame_that_waited_longest() -> None:
    table = table_of(6, quota=1, overflow=OverflowPolicy.DROP_OLDEST)
    lent = fill(table)[0]
    lend_next(table)
    waiting = [fill(table)[0] for _ in range(3)]
    newest = table.loan()
    assert newest is not None
    receipt = table.receive(newest)
    assert (receipt.reason, receipt.evicted) == (Reason.NONE, waiting[0])
    assert table.states[lent] is SlotState.LENT
    assert table.states[waiting[0]] is SlotState.FREE
    table.release(lent, INSPECTOR)
    assert table.next_held() == waiting[1]


def test_a_stopped_observer_leaves_the_inspector_half_of_the_slots() -> None:
    table = table_of(10)
    table.add_reader(RECORDER, is_primary=False)
    inspected = 0
    for _ in range(100):
        _, reason = fill(table)
        if reason is Reason.NONE:
            table.release(lend_next(table), INSPECTOR)
            inspected += 1
    assert inspected == 100
    assert table.leased == table.observer_quota == 4
    assert table.missed == 96


def test_an_unannounced_frame_can_be_taken_back() -> None:
    table = table_of(4)
    slot, _ = fill(table)
    table.abandon(slot)
    assert table.states[slot] is SlotState.FREE
    assert table.next_held() is None


def test_a_lent_slot_is_not_the_cameras_to_abandon() -> None:
    table = table_of(4)
    slot, _ = fill(table)
    lend_next(table)
    with pytest.raises(RingError, match="expected writing, got lent"):
        table.abandon(slot)


def test_without_inspector_frames_are_received_and_marked_until_the_ring_is_full() -> None:
    table = table_of(4, inspector=False)
    assert [fill(table)[1] for _ in range(3)] == [Reason.INSPECTOR_DOWN, Reason.INSPECTOR_DOWN, Reason.RING_FULL]


def test_a_slot_is_free_only_when_its_last_reader_has_released_it() -> None:
    table = table_of(8)
    table.add_reader(RECORDER, is_primary=False)
    fill(table)
    slot = lend_next(table)
    assert not table.release(slot, INSPECTOR)
    assert table.drop_reader(RECORDER) == [slot]
    assert table.states[slot] is SlotState.FREE


def test_a_foreign_release_is_refused_and_changes_nothing() -> None:
    table = table_of(8)
    table.add_reader(RECORDER, is_primary=False)
    fill(table)
    slot = lend_next(table)
    for reader, foreign in ((INSPECTOR, slot + 1), (99, slot), (INSPECTOR, 60_000)):
        with pytest.raises(RingError, match="does not hold"):
            table.release(foreign, reader)
    assert table.states[slot] is SlotState.LENT


def test_a_second_inspector_is_refused() -> None:
    with pytest.raises(RingError, match="already has an inspector"):
        table_of(4).add_reader(RECORDER, is_primary=True)


def test_a_ring_too_small_for_a_lease_is_refused() -> None:
    with pytest.raises(RingError, match="at least 4 slots, got 3"):
        table_of(3)
