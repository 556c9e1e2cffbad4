"""One acquisition, from AcquisitionStart to AcquisitionStop: its capture thread, and what happens to each frame.

    wait → account (which triggers is this?) → receive (may it be offered?) → announce → wake → offer → amend

A frame's slot goes to the readers, or straight back to the camera; nothing else can happen to it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from appliance.capture.announcer import Announcer
from appliance.capture.delivery import Delivery, StreamPlan
from appliance.capture.slot_supply import SlotSupply
from appliance.capture.source import Source
from appliance.capture.trigger_ledger import TriggerLedger
from appliance.clock import NS_PER_S
from appliance.counters import RateMeter
from appliance.errors import SourceError, SourceLost, StageFailed
from appliance.messages import Reason, Trigger
from appliance.ring import FrameRing, Outcome

log = logging.getLogger(__name__)

_WAIT_S = 0.1
_DRAIN_S = 0.01
_HUNG_NS = 5 * NS_PER_S
_JOIN_S = 1.0


class FrameHandler:
    """What the capture thread does with each delivery; lives as long as the grabber."""

    def __init__(self, ring: FrameRing, supply: SlotSupply, ledger: TriggerLedger, announcer: Announcer) -> None:
        self._ring = ring
        self._supply = supply
        self._ledger = ledger
        self._announcer = announcer
        self.rate = RateMeter()

    def handle(self, delivery: Delivery, source: Source) -> bool:
        """Bring one delivery to its end; tells whether the acquisition must be restarted to resynchronise."""
        mapped = source.clock.map(delivery.device_timestamp_ns, delivery.received_ns)
        entry = self._ledger.account(delivery, mapped, self._announcer.next_trigger_id)
        if delivery.slot is None:
            self._announcer.announce(entry.triggers)
        else:
            self._supply.delivered(delivery.slot)
            self._pass_on(delivery.slot, entry.triggers[:-1], entry.own)
        self._supply.refill()
        self.rate.add(delivery.received_ns)
        return entry.needs_restart

    def amend(self, trigger: Trigger, reason: Reason) -> None:
        """Give a trigger a reason that came after its announcement; from any thread."""
        self._announcer.amend(replace(trigger, reason=reason))

    def _pass_on(self, slot: int, missing: tuple[Trigger, ...], own: Trigger) -> None:
        if own.reason is not Reason.NONE:
            self._announcer.announce((*missing, own))
            self._ring.abandon(slot)
            return
        received = self._ring.receive(slot)
        own = replace(own, reason=received.reason)
        is_announced = self._announcer.announce((*missing, own))
        if received.evicted is not None:
            self.amend(received.evicted, Reason.RING_FULL)
        if slot in received.freed:
            return
        if not is_announced:
            self._ring.abandon(slot)  # nobody may see a frame that doesn't exist in the ledger
            return
        self._offer(slot, own)

    def _offer(self, slot: int, own: Trigger) -> None:
        offered: Outcome = self._ring.offer(slot, own)
        if own.reason is Reason.NONE and offered.reason is not Reason.NONE:
            self.amend(own, offered.reason)


class Acquisition:
    """A running acquisition. Begin, check and end belong to the owner's thread.

    Args:
        plan: What the opened source is going to deliver.
        on_trouble: Called from the capture thread when `check` would have something to say.
    """

    def __init__(
        self,
        source: Source,
        plan: StreamPlan,
        supply: SlotSupply,
        handler: FrameHandler,
        on_trouble: Callable[[], None],
    ) -> None:
        self.plan = plan
        self._source = source
        self._supply = supply
        self._handler = handler
        self._on_trouble = on_trouble
        self._is_ending = False
        self._failure: BaseException | None = None
        self._looped_ns = time.monotonic_ns()
        self._thread = threading.Thread(target=self._capture, name="capture", daemon=True)
        self.needs_restart = False

    def begin(self) -> None:
        """Supply slots, start the source, start capturing.

        Raises:
            SourceError: It doesn't start; call `end` all the same.
        """
        self._supply.open(self._source)
        self._source.start()
        self._looped_ns = time.monotonic_ns()
        self._thread.start()

    def check(self) -> None:
        """Look whether the capture thread is well.

        Raises:
            SourceLost: The source is gone.
            StageFailed: The thread died of a fault of its own, or hangs: the process must end.
        """
        failure = self._failure
        if isinstance(failure, SourceError):
            raise SourceLost(str(failure)) from failure
        if failure is not None:
            raise StageFailed(f"the capture thread died: {failure!r}") from failure
        if time.monotonic_ns() - self._looped_ns > _HUNG_NS:
            raise StageFailed(f"the capture thread hangs: no loop completed in {_HUNG_NS // NS_PER_S} s")

    def end(self) -> None:
        """Stop the source, let the thread finish what was delivered, take every slot back from the camera.

        Raises:
            StageFailed: The thread doesn't end; slots may not be touched then.
        """
        self._source.halt()
        self._is_ending = True
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                self._source.wake()
                self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                raise StageFailed("the capture thread doesn't end: a producer's call hangs")
        self._supply.close()
        self._source.end()
        self._supply.recall()

    def _capture(self) -> None:
        try:
            while self._capture_one():
                self._looped_ns = time.monotonic_ns()
        except BaseException as error:
            self._failure = error
            self._on_trouble()

    def _capture_one(self) -> bool:
        """Handle one frame or one timeout; False once everything delivered before the end is handled."""
        is_ending = self._is_ending
        delivery = self._source.wait(_DRAIN_S if is_ending else _WAIT_S)
        if delivery is None:
            return not is_ending
        if self._handler.handle(delivery, self._source) and not self.needs_restart:
            self.needs_restart = True
            self._on_trouble()
        return True
