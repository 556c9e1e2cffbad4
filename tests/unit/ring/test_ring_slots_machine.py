"""SlotTable against a reference model of deques and dicts."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.errors import RingError
from appliance.messages import Reason
from appliance.ring import RESERVED, OverflowPolicy, SlotState, SlotTable

READERS = st.integers(1, 4)


class SlotTableMachine(RuleBasedStateMachine):
    """Frames are numbered as they are received; each one's outcome is written down exactly once."""

    @initialize(slots=st.integers(4, 9), quota=st.integers(1, 9), overflow=st.sampled_from(OverflowPolicy))
    def start(self, slots: int, quota: int, overflow: OverflowPolicy) -> None:
        self.table = SlotTable(slots, lease_quota=quota, overflow=overflow)
        self.slots, self.overflow = slots, overflow
        self.quota = min(quota, slots - RESERVED)
        self.writing: set[int] = set()
        self.held: deque[tuple[int, int]] = deque()  # (slot, frame), oldest first
        self.lent: dict[int, set[int]] = {}
        self.readers: dict[int, bool] = {}  # reader -> is it the primary
        self.frames = 0
        self.outcomes: dict[int, str] = {}
        self.seen_by_primary = -1
        self.dropped = self.missed = 0

    # -- what the model knows

    @property
    def primary(self) -> int | None:
        return next((reader for reader, is_primary in self.readers.items() if is_primary), None)

    def leases(self, reader: int) -> int:
        return sum(reader in holders for holders in self.lent.values())

    def limit(self, reader: int) -> int:
        return self.quota if self.readers[reader] else max(1, self.quota // 2)

    def end(self, frame: int, outcome: str) -> None:
        assert frame not in self.outcomes, f"frame {frame}: {self.outcomes[frame]}, then {outcome}"
        self.outcomes[frame] = outcome

    # -- the camera

    @rule()
    def loan(self) -> None:
        slot = self.table.loan()
        taken = self.writing | {slot for slot, _ in self.held} | set(self.lent)
        if slot is None:
            assert len(taken) == self.slots
        else:
            assert slot not in taken
            self.writing.add(slot)

    @precondition(lambda self: self.writing)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.writing)))
        self.table.abandon(slot)
        self.writing.remove(slot)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def take_back_unannounced(self, data: st.DataObject) -> None:
        slot, frame = data.draw(st.sampled_from(list(self.held)))
        self.table.abandon(slot)
        self.held.remove((slot, frame))
        self.end(frame, "abandoned")

    @precondition(lambda self: self.writing)
    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.writing)))
        has_room = len(self.held) + len(self.lent) < self.slots - RESERVED
        self.writing.remove(slot)
        frame, self.frames = self.frames, self.frames + 1
        oldest = self.held[0] if self.held else None
        receipt = self.table.receive(slot)
        if receipt.reason is Reason.RING_FULL:
            assert receipt.evicted is None
            at_quota = self.primary is not None and self.leases(self.primary) + len(self.held) >= self.quota
            assert not has_room or (at_quota and self.overflow is OverflowPolicy.DROP_NEWEST)
            assert oldest is None or self.overflow is OverflowPolicy.DROP_NEWEST or self.primary is None
            self.dropped += 1
            self.end(frame, "ring_full")
            return
        assert (receipt.reason is Reason.INSPECTOR_DOWN) == (self.primary is None)
        if receipt.evicted is not None:
            assert self.overflow is OverflowPolicy.DROP_OLDEST
            assert not has_room
            assert oldest is not None
            assert receipt.evicted == oldest[0]
            self.held.popleft()
            self.dropped += 1
            self.end(oldest[1], "evicted")
        self.held.append((slot, frame))

    # -- the readers

    @rule(reader=READERS, is_primary=st.booleans())
    def join(self, reader: int, is_primary: bool) -> None:
        if reader in self.readers:
            return
        if is_primary and self.primary is not None:
            with pytest.raises(RingError, match="already"):
                self.table.add_reader(reader, is_primary=True)
            return
        self.table.add_reader(reader, is_primary=is_primary)
        self.readers[reader] = is_primary

    @rule(reader=READERS)
    def die(self, reader: int) -> None:
        freed = self.table.drop_reader(reader)
        self.readers.pop(reader, None)
        for holders in self.lent.values():
            holders.discard(reader)
        assert freed == sorted(slot for slot, holders in self.lent.items() if not holders)
        self.lent = {slot: holders for slot, holders in self.lent.items() if holders}

    @rule(data=st.data())
    def lend(self, data: st.DataObject) -> None:
        slot = self.table.next_held()
        if slot is None:
            assert not self.held or (self.primary is not None and self.leases(self.primary) >= self.quota)
            return
        expected, frame = self.held.popleft()
        assert slot == expected
        able = [reader for reader in self.readers if self.leases(reader) < self.limit(reader)]
        takers = self.table.takers(slot)
        assert set(takers) == set(able)
        assert self.primary is None or takers[0] == self.primary
        # Any of them may have a full or dead socket.
        accepted = [reader for reader in takers if data.draw(st.integers(0, 4), label=f"socket of {reader}")]
        self.missed += sum(reader not in accepted for reader, is_primary in self.readers.items() if not is_primary)
        assert self.table.lend(slot, accepted) == bool(accepted)
        if accepted:
            self.lent[slot] = set(accepted)
        if self.primary in accepted:
            assert frame > self.seen_by_primary, "out of order"
            self.seen_by_primary = frame
        self.end(frame, "lent" if accepted else "nobody took it")

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.lent)))
        reader = data.draw(st.sampled_from(sorted(self.lent[slot])))
        self.lent[slot].remove(reader)
        is_last = not self.lent[slot]
        if is_last:
            del self.lent[slot]
        assert self.table.release(slot, reader) == is_last

    @rule(reader=READERS, slot=st.integers(0, 65535))
    def release_what_is_not_ours(self, reader: int, slot: int) -> None:
        if reader not in self.lent.get(slot, ()):
            with pytest.raises(RingError, match="does not hold"):
                self.table.release(slot, reader)

    # -- always

    @invariant()
    def each_slot_has_the_models_owner(self) -> None:
        held = {slot for slot, _ in self.held}
        assert len(held) == len(self.held), "held twice"
        for slot in range(self.slots):
            owners = [
                state
                for state, slots in (
                    (SlotState.WRITING, self.writing),
                    (SlotState.HELD, held),
                    (SlotState.LENT, self.lent),
                )
                if slot in slots
            ]
            assert len(owners) <= 1
            assert self.table.states[slot] is (owners[0] if owners else SlotState.FREE)

    @invariant()
    def camera_keeps_its_reserve(self) -> None:
        assert self.table.occupied == len(self.held) + len(self.lent) <= self.slots - RESERVED

    @invariant()
    def nobody_exceeds_a_quota(self) -> None:
        assert all(self.leases(reader) <= self.limit(reader) for reader in self.readers)

    @invariant()
    def losses_are_counted(self) -> None:
        assert (self.table.dropped, self.table.missed) == (self.dropped, self.missed)

    @invariant()
    def each_frame_has_one_outcome_or_waits(self) -> None:
        assert len(self.outcomes) + len(self.held) == self.frames


SlotTableMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestSlotTable = SlotTableMachine.TestCase
