"""Deliveries into triggers: nothing that passed the camera goes without one."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capture.delivery import Counting, Delivery, StreamPlan
from appliance.capture.device_clock import Mapped
from appliance.capture.trigger_ledger import MAX_GAP, Entry, TriggerLedger
from appliance.messages import ClockSource, FrameGeometry, Reason, Trigger, TriggerFlag

PLAN = StreamPlan(FrameGeometry(8, 4, "Mono8"), is_free_running=False, counting=Counting.TRIGGERS)
FREE = replace(PLAN, is_free_running=True, counting=Counting.NOTHING)
PERIOD_NS = 20_000_000


@dataclass
class Desk:
    """A ledger, fed by hand; keeps everything it gave."""

    plan: StreamPlan = PLAN
    last: Trigger | None = None
    triggers: list[Trigger] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = TriggerLedger(self.last, first_epoch=self.last.stream_epoch + 1 if self.last else 1)
        self._next_id = self.last.trigger_id + 1 if self.last else 1
        self.ledger.begin(self.plan, Reason.GRABBER_DOWN)

    def deliver(self, frame_id: int | None, count: int | None = None, **more: object) -> Entry:
        moment = (count if count is not None else len(self.triggers) + 1) * PERIOD_NS
        delivery = Delivery(slot=0, received_ns=moment + 1_000_000, frame_id=frame_id, count=count)
        entry = self.ledger.account(
            replace(delivery, **more),  # type: ignore[arg-type]
            Mapped(moment, ClockSource.TIMESTAMP_LATCH, 10),
            self._next_id,
        )
        self._next_id += len(entry.triggers)
        self.triggers += entry.triggers
        return entry

    def reasons(self) -> list[Reason]:
        return [trigger.reason for trigger in self.triggers]


N, LOST, MISSED = Reason.NONE, Reason.LOST_FRAME, Reason.MISSED_TRIGGER


@dataclass(frozen=True)
class Case:
    """Deliveries (frame_id, count) and the reasons of all triggers they stand for."""

    name: str
    deliveries: tuple[tuple[int | None, int | None], ...]
    reasons: tuple[Reason, ...]
    plan: StreamPlan = PLAN


CASES = (
    Case("steady", ((1, 1), (2, 2), (3, 3)), (N, N, N)),
    Case("first-counts-nothing", ((9, 700),), (N,)),
    Case("lost", ((1, 1), (4, 4)), (N, LOST, LOST, N)),
    Case("missed", ((1, 1), (2, 3)), (N, MISSED, N)),
    Case("lost-and-missed", ((1, 1), (3, 5)), (N, LOST, MISSED, MISSED, N)),
    Case("lost-without-counter", ((1, None), (3, None)), (N, LOST, N), FREE),
    Case("free-run-ignores-the-counter", ((1, 5), (2, 90)), (N, N), FREE),
    Case("gige-1-wrap", ((65_534, 1), (65_535, 2), (1, 3), (2, 4)), (N, N, N, N)),
    Case("gige-1-wrap-with-a-loss", ((65_535, 1), (3, 4)), (N, LOST, LOST, N)),
    Case("repeated", ((1, 1), (1, 2), (2, 3)), (N, Reason.STALE_FRAME, N)),
    Case("unnumbered", ((None, None), (None, None)), (N, N), FREE),
    Case("counter-behind", ((1, 5), (2, 5)), (N, Reason.NOT_READY)),
    Case("counter-back", ((1, 5), (2, 2)), (N, Reason.NOT_READY)),
    Case("counter-behind-a-loss", ((1, 5), (4, 6)), (N, LOST, LOST, Reason.NOT_READY)),
    Case("counter-jump", ((1, 5), (2, 50_000)), (N, Reason.NOT_READY)),
    Case("frame-id-back", ((500, 5), (3, 6)), (N, Reason.NOT_READY)),
    Case("frame-id-jump", ((1, 5), (70_000, 6)), (N, Reason.NOT_READY)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_deliveries_stand_for_these_triggers(case: Case) -> None:
    desk = Desk(case.plan)

    for frame_id, count in case.deliveries:
        desk.deliver(frame_id, count)

    assert tuple(desk.reasons()) == case.reasons
    assert [trigger.trigger_id for trigger in desk.triggers] == list(range(1, len(case.reasons) + 1))


def test_a_frame_without_chunk_data_is_counted_at_the_next_one() -> None:
    desk = Desk()
    desk.deliver(1, 1)
    desk.deliver(2, None, is_incomplete=True)
    desk.deliver(3, 4)

    assert desk.reasons() == [N, Reason.INCOMPLETE_FRAME, MISSED, N]


def test_a_frame_that_found_no_slot_is_ring_full() -> None:
    desk = Desk()

    assert desk.deliver(1, 1, slot=None).own.reason is Reason.RING_FULL


def test_missing_parts_get_times_between_their_neighbours() -> None:
    desk = Desk()
    desk.deliver(1, 1)
    desk.deliver(5, 5)

    assert [trigger.exposed_ns for trigger in desk.triggers] == [number * PERIOD_NS for number in range(1, 6)]
    assert [trigger.encoder_count for trigger in desk.triggers] == [1, 2, 3, 4, 5]
    assert all(trigger.frame_id == 0 for trigger in desk.triggers[1:4])


def test_a_contradiction_lasts_until_the_next_acquisition() -> None:
    desk = Desk()
    desk.deliver(1, 5)
    assert desk.deliver(2, 5).needs_restart
    assert not desk.deliver(3, 6).needs_restart
    desk.ledger.begin(PLAN, Reason.NOT_READY)
    desk.deliver(1, 9)

    assert desk.reasons() == [N] + [Reason.NOT_READY] * 4 + [N]
    assert desk.ledger.counts.counter_mismatch == 1
    assert desk.triggers[-1].stream_epoch == 2


@pytest.mark.parametrize("reason", [Reason.CAMERA_LOST, Reason.NOT_READY])
def test_parts_between_two_acquisitions_carry_its_reason(reason: Reason) -> None:
    desk = Desk()
    desk.deliver(40, 40)
    desk.ledger.begin(PLAN, reason)
    desk.deliver(1, 44)

    assert desk.reasons() == [N, reason, reason, reason, N]
    assert [trigger.stream_epoch for trigger in desk.triggers] == [1, 2, 2, 2, 2]


def test_parts_that_passed_a_killed_grabber_are_grabber_down() -> None:
    before = Desk()
    before.deliver(1, 10)
    after = Desk(last=before.triggers[-1])

    after.deliver(1, 13)

    assert after.reasons() == [Reason.GRABBER_DOWN, Reason.GRABBER_DOWN, N]
    assert after.triggers[0].trigger_id == 2
    assert after.triggers[0].stream_epoch == 2


@pytest.mark.parametrize("count", [3, 10, 10 + MAX_GAP + 2])
def test_an_incomparable_counter_after_a_restart_is_a_new_baseline(count: int) -> None:
    before = Desk()
    before.deliver(1, 10)
    after = Desk(last=before.triggers[-1])

    after.deliver(1, count)
    after.deliver(2, count + 2)

    assert after.reasons() == [N, MISSED, N]
    assert after.ledger.counts.counter_mismatch == 1


def test_an_uncounted_predecessor_is_no_baseline() -> None:
    after = Desk(last=Trigger(trigger_id=4, exposed_ns=1, encoder_count=9, stream_epoch=3))

    after.deliver(1, 500)

    assert after.reasons() == [N]
    assert after.triggers[0].stream_epoch == 4


def test_encoder_steps_per_part_are_learned() -> None:
    desk = Desk(replace(PLAN, counting=Counting.ENCODER))
    for frame_id, steps in ((1, 1000), (2, 1050), (3, 1101), (4, 1150), (5, 1250), (7, 1350)):
        desk.deliver(frame_id, steps)

    assert desk.reasons() == [N, N, N, N, MISSED, N, LOST, N]


def test_flags_say_what_the_plan_says() -> None:
    simulated = Desk(replace(FREE, is_simulated=True))

    simulated.deliver(1, None)

    assert simulated.triggers[0].flags == TriggerFlag.SIMULATED | TriggerFlag.FREE_RUNNING


@given(
    st.lists(st.sampled_from(["frame", "lost", "skipped", "incomplete", "restart"]), max_size=60).map(
        lambda events: ["frame", *events, "frame"]
    )
)
def test_every_pulse_gets_exactly_one_trigger(events: list[str]) -> None:
    """A model line: whatever happens to a pulse, its trigger comes in order, with the right count and a true reason."""
    desk = Desk()
    frame_id, fates = 0, []
    for pulse, event in enumerate(events, start=1):
        fates.append(event)
        if event in {"frame", "incomplete", "lost"}:
            frame_id += 1
        if event == "frame":
            desk.deliver(frame_id, pulse)
        elif event == "incomplete":
            desk.deliver(frame_id, None, is_incomplete=True)
        elif event == "restart":  # this pulse falls between two acquisitions
            desk.ledger.begin(PLAN, Reason.CAMERA_LOST)
            frame_id = 0

    assert len(desk.triggers) == len(events)
    assert [trigger.trigger_id for trigger in desk.triggers] == list(range(1, len(events) + 1))
    assert desk.ledger.counts.counter_mismatch == 0
    counted = [trigger for trigger in desk.triggers if TriggerFlag.COUNTED in trigger.flags and trigger.frame_id]
    assert all(fates[trigger.encoder_count - 1] == "frame" for trigger in counted)
    assert sum(trigger.reason is N for trigger in desk.triggers) == fates.count("frame")
    exposures = [trigger.exposed_ns for trigger in counted]
    assert exposures == sorted(exposures)
