"""Keeps a source supplied with free ring slots, in slot order, from whichever thread frees them."""

import contextlib
import threading
from typing import Protocol

from appliance.errors import SourceLost
from appliance.ring import FrameRing


class SlotTaker(Protocol):
    """What takes slots: a source."""

    def queue(self, slot: int) -> None:
        """Take a slot; SourceLost when it can't."""
        ...


class SlotSupply:
    """Slots on loan to the camera. A slot is either here, or the ring's; never both.

    Args:
        ring: Loans and takes back.
    """

    def __init__(self, ring: FrameRing) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._taker: SlotTaker | None = None
        self._loaned: set[int] = set()

    def open(self, taker: SlotTaker) -> None:
        """Begin to supply a source with every slot that is free, and refill from now on."""
        with self._lock:
            self._taker = taker
        self.refill()

    def refill(self) -> None:
        """Loan free slots to the source. One that can't take them has gone, which its own thread notices."""
        with self._lock, contextlib.suppress(SourceLost):
            while self._taker is not None and (slot := self._ring.loan()) is not None:
                self._loaned.add(slot)
                try:
                    self._taker.queue(slot)
                except SourceLost:
                    self._take_back(slot)
                    raise

    def delivered(self, slot: int) -> None:
        """Note that a slot came back with a frame."""
        with self._lock:
            self._loaned.discard(slot)

    def close(self) -> None:
        """Stop supplying."""
        with self._lock:
            self._taker = None

    def recall(self) -> None:
        """Take all loaned slots back; the source must have ended."""
        with self._lock:
            for slot in sorted(self._loaned):
                self._take_back(slot)

    def _take_back(self, slot: int) -> None:
        self._loaned.discard(slot)
        self._ring.abandon(slot)
