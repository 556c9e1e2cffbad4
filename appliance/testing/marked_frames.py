"""Frames that say who they are: every 8 bytes of the image hold the trigger id.

A reader that compares the whole frame at the start and at the end of its lease sees any byte of another frame.
"""

from dataclasses import dataclass, field

from appliance.messages import FrameGeometry, Reason, Trigger
from appliance.ring import FrameLease, FrameRing, Outcome, RingLayout, RingMemory


def marked_layout(slots: int, words: int = 8, *, tail_bytes: int = 0) -> RingLayout:
    """Plan a ring of small Mono8 frames of `words` * 8 bytes."""
    return RingLayout.plan(FrameGeometry(words * 8, 1, "Mono8"), slots, tail_bytes=tail_bytes)


def mark(memory: RingMemory, slot: int, trigger_id: int) -> None:
    """Fill a slot's image with a trigger id."""
    memory.writable(slot)[: memory.layout.geometry.payload_bytes].view("<u8")[:] = trigger_id


def is_intact(lease: FrameLease) -> bool:
    """Tell whether every byte of the frame is its own trigger's."""
    return bool((lease.pixels.reshape(-1).view("<u8") == lease.trigger.trigger_id).all())


@dataclass
class MarkingCamera:
    """Delivers marked frames into a ring as a grabber does, and keeps the outcome of each."""

    ring: FrameRing
    next_id: int = 1
    outcomes: dict[int, Reason] = field(default_factory=dict)

    def expose(self) -> Outcome | None:
        """Take one frame through loan, receive and offer; None when no slot was free."""
        slot = self.ring.loan()
        return None if slot is None else self.deliver(slot)

    def deliver(self, slot: int) -> Outcome:
        """Fill a loaned slot and offer it, unless the ring is full."""
        trigger_id, self.next_id = self.next_id, self.next_id + 1
        assert self.ring.memory is not None
        mark(self.ring.memory, slot, trigger_id)
        received = self.ring.receive(slot)
        if received.evicted is not None:
            self.outcomes[received.evicted.trigger_id] = Reason.RING_FULL
        self.outcomes[trigger_id] = received.reason
        if slot in received.freed:
            return received
        offered = self.ring.offer(slot, marked_trigger(trigger_id, received.reason))
        self.outcomes[trigger_id] = offered.reason
        return offered


def marked_trigger(trigger_id: int, reason: Reason = Reason.NONE) -> Trigger:
    """Make the trigger of a marked frame."""
    return Trigger(trigger_id=trigger_id, exposed_ns=trigger_id, reason=reason)
