"""Who owns each slot: a pure state machine, no memory, no sockets, no clock.

    state     owner             verbs allowed               next
    FREE      nobody            loan                        WRITING
    WRITING   the camera        receive, abandon            HELD, FREE
    HELD      the ring          lend, abandon, (evicted)    LENT, FREE
    LENT      1..n readers      release, drop_reader        LENT, FREE

A slot is free when every reader has released it. At least `RESERVED` slots are never HELD or LENT, so a camera always
has a place to write and a full ring shows as "received, not offered" instead of a silent drop inside the producer.
One reader, the primary (the inspector), decides whether a frame counts as offered; others get what their quota allows
and miss the rest, counted. Their quota is half the primary's: a stopped one (no EOF, no releases) can't starve it.
A reader that only takes samples (a shadow model) has a quota of its own, so small that nobody feels it.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from appliance.errors import RingError
from appliance.messages import Reason

RESERVED = 2
SAMPLER_QUOTA = 2
"""Slots for a reader that takes samples: one that it works on, one that is next."""


class SlotState(Enum):
    """Owner of a slot; see the module's table."""

    FREE = "free"
    WRITING = "writing"
    HELD = "held"
    LENT = "lent"


class OverflowPolicy(Enum):
    """What is lost when the primary reader is at its quota."""

    DROP_NEWEST = "drop_newest"  # the frame that just came
    DROP_OLDEST = "drop_oldest"  # the frame that has waited longest and is not lent yet


@dataclass
class ReaderAccount:
    """One reader's leases, and how many it may have; what a sampler misses isn't counted."""

    is_primary: bool
    quota: int
    is_sampler: bool = False
    leases: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Receipt:
    """What `receive` decided. `evicted` is the slot whose frame was given up for the new one."""

    reason: Reason
    evicted: int | None = None


def observer_quota(slots: int, lease_quota: int) -> int:
    """Give how many slots an observer may hold: half of what the ring's primary reader may."""
    return max(1, min(lease_quota, slots - RESERVED) // 2)


class SlotTable:
    """Slots of one ring generation. Not thread-safe: the ring holds the lock."""

    def __init__(self, slots: int, *, lease_quota: int, overflow: OverflowPolicy) -> None:
        if slots < RESERVED + 2:
            raise RingError(f"a ring needs at least {RESERVED + 2} slots, got {slots}")
        self.slots = slots
        self.overflow = overflow
        self.lease_quota = max(1, min(lease_quota, slots - RESERVED))
        self.observer_quota = observer_quota(slots, lease_quota)
        self.states = [SlotState.FREE] * slots
        self.dropped = 0
        self.missed = 0  # frames that readers other than the primary did not get
        self._holders: list[set[int]] = [set() for _ in range(slots)]
        self._readers: dict[int, ReaderAccount] = {}
        self._held: deque[int] = deque()
        self._next = 0

    # -- the camera's side

    def loan(self) -> int | None:
        """Lend the next free slot, in slot order, to the camera; None when all are in use."""
        for step in range(self.slots):
            slot = (self._next + step) % self.slots
            if self.states[slot] is SlotState.FREE:
                self.states[slot] = SlotState.WRITING
                self._next = (slot + 1) % self.slots
                return slot
        return None

    def abandon(self, slot: int) -> None:
        """Take a slot back without a frame, from the camera or before its frame was announced."""
        if slot in self._held:
            self._held.remove(slot)
        else:
            self._expect(slot, SlotState.WRITING)
        self._free(slot)

    def receive(self, slot: int) -> Receipt:
        """Take a filled slot from the camera and decide, before anything is announced, whether it can be offered."""
        self._expect(slot, SlotState.WRITING)
        receipt = self._admit()
        if receipt.evicted is not None:
            self._held.remove(receipt.evicted)
            self._free(receipt.evicted)
        if receipt.reason is Reason.RING_FULL:
            self.dropped += 1
            self._free(slot)
        else:
            self.dropped += receipt.evicted is not None
            self.states[slot] = SlotState.HELD
            self._held.append(slot)
        return receipt

    def _admit(self) -> Receipt:
        primary = self._primary
        has_room = self.occupied < self.slots - RESERVED
        if primary is None:
            return Receipt(Reason.INSPECTOR_DOWN if has_room else Reason.RING_FULL)
        waiting = len(self._held)
        if has_room and (
            len(primary.leases) + waiting < self.lease_quota or self.overflow is OverflowPolicy.DROP_OLDEST
        ):
            return Receipt(Reason.NONE)
        if self.overflow is OverflowPolicy.DROP_OLDEST and waiting:
            return Receipt(Reason.NONE, evicted=self._held[0])
        return Receipt(Reason.RING_FULL)

    # -- the readers' side

    def add_reader(self, reader: int, *, is_primary: bool, is_sampler: bool = False) -> None:
        """Open an account; a second primary is refused.

        Raises:
            RingError: There is a primary reader already.
        """
        if is_primary and self._primary is not None:
            raise RingError("this ring already has an inspector; stop the other one first")
        quota = self.lease_quota if is_primary else self.observer_quota
        self._readers[reader] = ReaderAccount(
            is_primary, min(quota, SAMPLER_QUOTA) if is_sampler else quota, is_sampler
        )

    def drop_reader(self, reader: int) -> list[int]:
        """Close an account and reclaim its leases; gives the slots that became free, in slot order."""
        account = self._readers.pop(reader, None)
        return [] if account is None else [slot for slot in sorted(account.leases) if self._return(slot, reader)]

    def next_held(self) -> int | None:
        """The slot that has waited longest and may be lent now; None when the primary is at its quota."""
        if not self._held:
            return None
        primary = self._primary
        if primary is not None and len(primary.leases) >= self.lease_quota:
            return None
        return self._held[0]

    def takers(self, slot: int) -> list[int]:
        """Readers that have quota left for this held slot, primary first."""
        self._expect(slot, SlotState.HELD)
        primary_first = sorted(self._readers.items(), key=lambda item: not item[1].is_primary)
        return [reader for reader, account in primary_first if len(account.leases) < account.quota]

    def lend(self, slot: int, readers: list[int]) -> bool:
        """Move a held slot to its readers; with none it becomes free. Tells whether it is lent.

        Every reader but the primary that is not among them misses the frame, counted.
        """
        self._expect(slot, SlotState.HELD)
        self._held.remove(slot)
        self.missed += sum(
            not account.is_primary and not account.is_sampler and reader not in readers
            for reader, account in self._readers.items()
        )
        if not readers:
            self._free(slot)
            return False
        self.states[slot] = SlotState.LENT
        self._holders[slot] = set(readers)
        for reader in readers:
            self._readers[reader].leases.add(slot)
        return True

    def release(self, slot: int, reader: int) -> bool:
        """End one lease; tells whether the slot became free.

        Raises:
            RingError: The reader doesn't hold this slot.
        """
        account = self._readers.get(reader)
        if account is None or slot not in account.leases:
            raise RingError(f"reader {reader} released slot {slot}, which it does not hold")
        return self._return(slot, reader, account)

    def _return(self, slot: int, reader: int, account: ReaderAccount | None = None) -> bool:
        if account is not None:
            account.leases.discard(slot)
        self._holders[slot].discard(reader)
        if self._holders[slot]:
            return False
        self._free(slot)
        return True

    # -- both

    @property
    def occupied(self) -> int:
        """Slots that are HELD or LENT."""
        return len(self._held) + self.leased

    @property
    def leased(self) -> int:
        """Slots that are LENT."""
        return sum(map(bool, self._holders))

    @property
    def _primary(self) -> ReaderAccount | None:
        return next((account for account in self._readers.values() if account.is_primary), None)

    def _free(self, slot: int) -> None:
        self.states[slot] = SlotState.FREE
        self._holders[slot] = set()

    def _expect(self, slot: int, state: SlotState) -> None:
        if self.states[slot] is not state:
            raise RingError(f"slot {slot}: expected {state.value}, got {self.states[slot].value}")
