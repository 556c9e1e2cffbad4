"""Turns deliveries into triggers: the frame's own, and one for every part that passed without a frame. Pure.

What is compared, frame by frame, within one acquisition (one stream epoch):

    frame_id gap of k        k frames were exposed and lost                      k x LOST_FRAME
    counter moved further    pulses that left neither frame nor frame_id gap     MISSED_TRIGGER each
    counter moved less       camera and counter contradict each other            NOT_READY until a new acquisition

Between two acquisitions frame ids say nothing, but a counter that ran on does: each pulse in between gets a trigger
with the reason the acquisition ended for (GRABBER_DOWN, CAMERA_LOST, NOT_READY). A counter that went back, or jumped by
more than `MAX_GAP`, is another counter now: new baseline, counted as a mismatch.

Triggers of missing frames get ids before the frame's own, their times spread evenly between the neighbours'.
"""

from dataclasses import dataclass, replace

from appliance.capture.delivery import Counting, Delivery, StreamPlan
from appliance.capture.device_clock import Mapped
from appliance.messages import Reason, Trigger, TriggerFlag

MAX_GAP = 10_000
"""More missing parts than this at once are no gap but another count."""
GIGE1_LAST_ID = 65_535
"""GigE Vision 1.x counts 1 ... 65535, 1; 0 is reserved."""


@dataclass
class LedgerCounts:
    """What was seen since the process started; read by status."""

    frames: int = 0
    incomplete: int = 0
    lost: int = 0
    missed: int = 0
    stale: int = 0
    counter_mismatch: int = 0


@dataclass(frozen=True)
class Entry:
    """Triggers to announce, in order, the delivery's own last.

    Attributes:
        needs_restart: Camera and counter contradict each other: only a new acquisition can bring them together.
    """

    triggers: tuple[Trigger, ...]
    needs_restart: bool = False

    @property
    def own(self) -> Trigger:
        """The delivered frame's trigger."""
        return self.triggers[-1]


@dataclass(frozen=True)
class _Gap:
    """Parts without a frame before a delivery: `lost` by frame ids, `extra` by the counter alone."""

    lost: int = 0
    extra: int = 0
    is_contradiction: bool = False


class TriggerLedger:
    """One camera's triggers, through all its acquisitions.

    Args:
        last: The trigger announced last, if the process before this one was killed; its counter is the baseline.
        first_epoch: Of the next acquisition.
    """

    def __init__(self, last: Trigger | None, first_epoch: int) -> None:
        self.counts = LedgerCounts()
        self._next_epoch = first_epoch
        self._epoch = first_epoch
        self._plan: StreamPlan | None = None
        self._gap_reason = Reason.GRABBER_DOWN
        self._previous_id: int | None = None
        self._previous_exposed_ns = last.exposed_ns if last is not None else None
        is_counted = last is not None and TriggerFlag.COUNTED in last.flags
        self._last_count = last.encoder_count if last is not None and is_counted else None
        self._since_count = 0
        self._stride: int | None = None
        self._is_first = True
        self._is_out_of_step = False

    def begin(self, plan: StreamPlan, gap_reason: Reason) -> None:
        """Start an acquisition.

        Args:
            gap_reason: Why parts that passed since the last frame have none.
        """
        self._epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        self._plan, self._gap_reason = plan, gap_reason
        self._previous_id = None
        self._is_first, self._is_out_of_step = True, False
        if plan.counting is Counting.TRIGGERS:
            self._stride = 1

    def account(self, delivery: Delivery, mapped: Mapped, first_trigger_id: int) -> Entry:
        """Give the triggers a delivery stands for.

        Args:
            mapped: When it was exposed.
            first_trigger_id: Id of the first of them.
        """
        assert self._plan is not None
        gap = self._find_gap(delivery)
        self._is_out_of_step = self._is_out_of_step or gap.is_contradiction
        missing = gap.lost + gap.extra
        own = self._own(delivery, mapped, first_trigger_id + missing)
        triggers = (*self._missing(gap, own, first_trigger_id), own)
        self._remember(delivery, own, missing)
        self._count(gap, own)
        return Entry(triggers, needs_restart=gap.is_contradiction)

    # -- gaps

    def _find_gap(self, delivery: Delivery) -> _Gap:
        lost = self._frame_gap(delivery.frame_id)
        if lost is None:
            return _Gap(is_contradiction=True)
        return self._compare_count(delivery.count, lost)

    def _frame_gap(self, frame_id: int | None) -> int | None:
        """Frames lost by frame ids; None when the id went back or jumped beyond any gap."""
        previous = self._previous_id
        if frame_id is None or previous is None or frame_id == previous:
            return 0
        gap = frame_id - previous - 1
        if gap < 0 and GIGE1_LAST_ID - MAX_GAP < previous <= GIGE1_LAST_ID:
            gap = GIGE1_LAST_ID - previous + max(frame_id - 1, 0)
        return gap if 0 <= gap <= MAX_GAP else None

    def _compare_count(self, count: int | None, lost: int) -> _Gap:
        assert self._plan is not None
        if count is None or self._last_count is None or self._plan.counting is Counting.NOTHING:
            return _Gap(lost)
        moved = count - self._last_count
        if self._plan.counting is Counting.ENCODER:
            self._learn_stride(moved, lost)
        if self._stride is None:
            return _Gap(lost)
        extra = round(moved / self._stride) - (self._since_count + lost + 1)
        if 0 <= extra <= MAX_GAP and moved > 0:
            return _Gap(lost, extra)
        # An encoder may run back with its belt; a counter of triggers that does so within an acquisition is wrong.
        is_wrong = self._plan.counting is Counting.TRIGGERS and not self._is_first
        self.counts.counter_mismatch += not is_wrong
        return _Gap(lost, is_contradiction=is_wrong)

    def _learn_stride(self, moved: int, lost: int) -> None:
        """Take the smallest step between neighbouring frames for one part's."""
        is_neighbour = not self._is_first and lost == 0 and self._since_count == 0
        if is_neighbour and moved > 0 and (self._stride is None or moved < self._stride * 3 / 4):
            self._stride = moved

    # -- triggers

    def _own(self, delivery: Delivery, mapped: Mapped, trigger_id: int) -> Trigger:
        assert self._plan is not None
        geometry = self._plan.geometry
        flags = self._flags() | (TriggerFlag.COUNTED if delivery.count is not None else TriggerFlag(0))
        return Trigger(
            trigger_id=trigger_id,
            exposed_ns=mapped.exposed_ns,
            frame_id=delivery.frame_id or 0,
            device_timestamp_ns=delivery.device_timestamp_ns or 0,
            encoder_count=delivery.count or 0,
            received_after_us=max(delivery.received_ns - mapped.exposed_ns, 0) // 1000,
            clock_source=mapped.source,
            clock_uncertainty_us=mapped.uncertainty_us,
            stream_epoch=self._epoch,
            width=geometry.width,
            height=geometry.height,
            flags=flags,
            reason=self._reason(delivery),
        )

    def _flags(self) -> TriggerFlag:
        assert self._plan is not None
        flags = TriggerFlag(0)
        if self._plan.is_simulated:
            flags |= TriggerFlag.SIMULATED
        if self._plan.is_free_running:
            flags |= TriggerFlag.FREE_RUNNING
        return flags

    def _reason(self, delivery: Delivery) -> Reason:
        if self._is_out_of_step:
            return Reason.NOT_READY
        if delivery.is_incomplete:
            return Reason.INCOMPLETE_FRAME
        if delivery.slot is None:
            return Reason.RING_FULL
        is_repeated = delivery.frame_id is not None and delivery.frame_id == self._previous_id
        return Reason.STALE_FRAME if is_repeated else Reason.NONE

    def _missing(self, gap: _Gap, own: Trigger, first_trigger_id: int) -> list[Trigger]:
        assert self._plan is not None
        missing = gap.lost + gap.extra
        start_ns = self._previous_exposed_ns if self._previous_exposed_ns is not None else own.exposed_ns
        span_ns = max(own.exposed_ns - start_ns, 0)
        is_counted = TriggerFlag.COUNTED in own.flags and self._plan.counting is Counting.TRIGGERS
        triggers = []
        for number in range(missing):
            back = missing - number
            is_lost = not self._is_first and number < gap.lost
            triggers.append(
                Trigger(
                    trigger_id=first_trigger_id + number,
                    exposed_ns=own.exposed_ns - span_ns * back // (missing + 1),
                    encoder_count=max(own.encoder_count - back, 0) if is_counted else 0,
                    clock_source=own.clock_source,
                    clock_uncertainty_us=span_ns // 2000,
                    stream_epoch=self._epoch,
                    flags=own.flags if is_counted else own.flags & ~TriggerFlag.COUNTED,
                    reason=Reason.LOST_FRAME if is_lost else self._extra_reason(),
                )
            )
        received_ns = own.received_ns
        return [
            replace(trigger, received_after_us=max(received_ns - trigger.exposed_ns, 0) // 1000) for trigger in triggers
        ]

    def _extra_reason(self) -> Reason:
        return self._gap_reason if self._is_first else Reason.MISSED_TRIGGER

    # -- memory

    def _remember(self, delivery: Delivery, own: Trigger, missing: int) -> None:
        if delivery.frame_id is not None:
            self._previous_id = delivery.frame_id
        self._previous_exposed_ns = own.exposed_ns
        self._is_first = False
        if delivery.count is not None:
            self._last_count, self._since_count = delivery.count, 0
        else:
            self._since_count += missing + 1

    def _count(self, gap: _Gap, own: Trigger) -> None:
        counts = self.counts
        counts.frames += 1
        counts.lost += gap.lost
        counts.missed += gap.extra
        counts.counter_mismatch += gap.is_contradiction
        counts.incomplete += own.reason is Reason.INCOMPLETE_FRAME
        counts.stale += own.reason is Reason.STALE_FRAME
