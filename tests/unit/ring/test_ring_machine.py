"""The whole ring in one process, over real sockets and memory: any order of steps keeps its promises."""

import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.messages import Reason, Trigger
from appliance.ring import FrameLease, FrameRing, OverflowPolicy, ReaderRole, RingReader, SlotState
from appliance.testing.marked_frames import is_intact, mark, marked_layout, marked_trigger

WHO = st.sampled_from([0, 0, 0, 1, 2, 3])
RARELY = st.integers(0, 5).map(lambda die: die == 3)


class RingMachine(RuleBasedStateMachine):
    """Frames carry their trigger id in every word; each ends once, and no lease ever sees another frame's."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.path = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "ring"
        self.readers = [RingReader(self.path, ReaderRole.INSPECTOR), RingReader(self.path, ReaderRole.INSPECTOR)]
        self.readers += [RingReader(self.path, ReaderRole.OBSERVER) for _ in range(2)]
        self.leases: list[list[FrameLease]] = [[] for _ in self.readers]
        self.seen: list[list[int]] = [[] for _ in self.readers]
        self.ends: dict[int, Reason] = {}
        self.received: dict[int, tuple[int, Reason]] = {}  # slot -> (trigger id, reason): not offered yet
        self.next_id = 1
        self.dropped = 0

    @initialize(overflow=st.sampled_from(OverflowPolicy), quota=st.integers(1, 8), slots=st.integers(4, 9))
    def start(self, overflow: OverflowPolicy, quota: int, slots: int) -> None:
        self.overflow, self.quota, self.slots = overflow, quota, slots
        self.open()
        self.join(0)
        self.join(2)

    def open(self) -> None:
        self.ring = FrameRing(
            self.path, overflow=self.overflow, lease_quota=self.quota, on_lost=lambda *lost: self.end(*lost, late=True)
        )
        self.writing: list[int] = []
        self.dropped = 0
        self.ring.renew(marked_layout(self.slots))

    def end(self, trigger: Trigger, reason: Reason, *, late: bool = False) -> None:
        """Note an outcome; a later one may only take back that the frame was offered or waits."""
        known = self.ends.get(trigger.trigger_id)
        assert known is (Reason.NONE if late else None), f"trigger {trigger.trigger_id}: {known}, then {reason}"
        self.ends[trigger.trigger_id] = reason
        self.dropped += reason is Reason.RING_FULL

    def teardown(self) -> None:
        for leases in self.leases:
            leases.clear()
        for reader in self.readers:
            reader.close()
        if hasattr(self, "ring"):
            self.ring.close()
        self.stack.close()

    # -- the camera

    @rule()
    def loan(self) -> None:
        slot = self.ring.loan()
        if slot is not None:
            self.writing.append(slot)

    @precondition(lambda self: self.writing)
    @rule()
    def receive(self) -> None:
        slot, trigger_id = self.writing.pop(0), self.next_id
        self.next_id += 1
        assert self.ring.memory is not None
        mark(self.ring.memory, slot, trigger_id)
        outcome = self.ring.receive(slot)
        if outcome.evicted is not None:
            self.end(outcome.evicted, Reason.RING_FULL, late=True)
        elif outcome.freed and slot not in outcome.freed:
            (evicted,) = outcome.freed  # received, but never announced: its owner learns it at the offer
            del self.received[evicted]
            self.dropped += 1
        if slot in outcome.freed:
            self.end(marked_trigger(trigger_id), outcome.reason)
        else:
            self.received[slot] = trigger_id, outcome.reason

    @precondition(lambda self: self.received)
    @rule()
    def offer(self) -> None:
        slot = next(iter(self.received))
        trigger_id, reason = self.received.pop(slot)
        trigger = marked_trigger(trigger_id, reason)
        self.ends[trigger_id] = Reason.NONE  # what it is unless the offer says otherwise
        outcome = self.ring.offer(slot, trigger)
        del self.ends[trigger_id]
        self.end(trigger, outcome.reason)

    @rule(count=st.integers(1, 4))
    def expose(self, count: int) -> None:
        """The camera at work, as most of the time: whole frames one after the other."""
        for _ in range(count):
            if not self.writing:
                self.loan()
            if self.writing:
                self.receive()
            while self.received:
                self.offer()

    @precondition(lambda self: self.received)
    @rule()
    def fail_to_announce(self) -> None:
        slot = next(iter(self.received))
        del self.received[slot]
        self.ring.abandon(slot)

    # -- the service thread, and the writer's life

    @rule(times=st.integers(1, 3))
    def serve(self, times: int) -> None:
        for _ in range(times):
            self.ring.serve(0)

    @rule(who=st.sampled_from([0, 0, 1, 2]))
    def inspect(self, who: int) -> None:
        """A frame, seen at once, and an older one given back, as most of the time."""
        self.serve(2)
        self.expose(1)
        self.read(who)
        if len(self.leases[who]) > 1:
            self.release(who, 0)

    @rule(words=st.sampled_from([8, 16]), is_due=RARELY)
    def renew(self, words: int, is_due: bool) -> None:
        if not is_due:
            return
        self.writing.clear()
        self.received.clear()
        self.ring.renew(marked_layout(self.slots, words))

    @rule(is_due=RARELY, are_back=st.booleans())
    def restart(self, is_due: bool, are_back: bool) -> None:
        if is_due:
            self.received.clear()
            self.ring.close()
            self.open()
        for who in (0, 2) if are_back else ():
            self.join(who)

    # -- the readers

    @rule(who=WHO)
    def connect(self, who: int) -> None:
        self.readers[who].connect()

    @rule(who=WHO)
    def join(self, who: int) -> None:
        """Connect again, and wait for the welcome."""
        self.read(who)
        self.connect(who)
        self.serve(3)
        self.read(who)

    @rule(who=WHO)
    def read(self, who: int) -> None:
        leases = self.readers[who].receive()
        self.leases[who] += leases
        self.seen[who] += [lease.trigger.trigger_id for lease in leases]

    @rule(who=WHO, which=st.integers(0, 99))
    def release(self, who: int, which: int) -> None:
        if self.leases[who]:
            self.leases[who].pop(which % len(self.leases[who])).release()

    @rule(who=WHO, is_due=RARELY)
    def hang_up(self, who: int, is_due: bool) -> None:
        if not is_due:
            return
        self.readers[who].close()
        self.leases[who].clear()

    # -- always

    @invariant()
    def leased_pixels_are_the_triggers_own(self) -> None:
        for leases in self.leases:
            assert all(is_intact(lease) for lease in leases)

    @invariant()
    def each_reader_sees_frames_in_order_and_once(self) -> None:
        for seen in self.seen:
            assert all(first < second for first, second in pairwise(seen))
        inspected = self.seen[0] + self.seen[1]
        assert len(set(inspected)) == len(inspected), "two inspectors judged one frame"

    @invariant()
    def inspectors_see_only_frames_that_were_offered(self) -> None:
        assert all(self.ends[trigger_id] is Reason.NONE for seen in self.seen[:2] for trigger_id in seen)

    @invariant()
    def the_camera_keeps_its_reserve_and_losses_are_counted(self) -> None:
        if hasattr(self, "ring"):
            assert self.ring.table is not None
            assert self.ring.table.occupied <= self.slots - 2
            assert self.ring.table.states.count(SlotState.WRITING) == len(self.writing)
            assert self.ring.status()["dropped"] == self.dropped


RingMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=80, deadline=None)
TestRing = RingMachine.TestCase
