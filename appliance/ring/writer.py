"""The writer's end of the ring: lends slots to the camera, frames to readers, and takes both back.

Two threads use it. The capture thread calls `loan`, `receive` and `offer`; the service thread calls `serve`. One lock
guards the slot table and the list of readers; nothing under it blocks: sends are MSG_DONTWAIT.
"""

import contextlib
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import seqpacket
from appliance.errors import RingError
from appliance.messages import Reason, Trigger
from appliance.ring import datagrams
from appliance.ring.datagrams import ReaderRole
from appliance.ring.memory import RingLayout, RingMemory
from appliance.ring.slots import OverflowPolicy, SlotTable

log = logging.getLogger(__name__)


@dataclass
class _Peer:
    socket: socket.socket
    has_introduced_itself: bool = False


@dataclass(frozen=True)
class Outcome:
    """What happened to a frame.

    Attributes:
        reason: NONE when the inspector has it, or will have it as soon as its quota allows.
        freed: Slots that may be loaned to the camera again.
        evicted: The announced trigger whose waiting frame was given up for this one: amend it to RING_FULL.
    """

    reason: Reason
    freed: tuple[int, ...] = ()
    evicted: Trigger | None = None


class FrameRing:
    """One camera's ring: a listening socket for its lifetime, one generation of memory at a time.

    Args:
        path: Where readers connect; replaced if a dead writer left it.
        lease_quota: Most slots one reader may hold; default all but the reserved ones.
        on_freed: Called by `serve` with slots that readers gave back, in slot order: loan them to the camera again.
    """

    def __init__(
        self,
        path: Path,
        *,
        overflow: OverflowPolicy = OverflowPolicy.DROP_NEWEST,
        lease_quota: int | None = None,
        on_freed: Callable[[list[int]], None] | None = None,
    ) -> None:
        self._path = path
        self._overflow = overflow
        self._lease_quota = lease_quota
        self._on_freed = on_freed
        self._lock = threading.Lock()
        self._peers: dict[int, _Peer] = {}
        self._waiting: dict[int, Trigger] = {}
        self._selector = selectors.DefaultSelector()
        self._server = seqpacket.listen(path)
        self._selector.register(self._server, selectors.EVENT_READ)
        self.generation = 0
        self.memory: RingMemory | None = None
        self.table: SlotTable | None = None
        self.dropped_before = 0

    # -- generations

    def renew(self, layout: RingLayout) -> RingMemory:
        """Start a generation: new memory, all slots free, told to every reader. Old leases stay valid for readers."""
        memory = RingMemory(layout)
        with self._lock:
            old, self.memory = self.memory, memory
            self.dropped_before += self.table.dropped if self.table else 0
            self.table = SlotTable(layout.slots, lease_quota=self._lease_quota or layout.slots, overflow=self._overflow)
            self.generation += 1
            self._waiting.clear()
            for reader, peer in list(self._peers.items()):
                if peer.has_introduced_itself:
                    self._welcome(reader, peer, is_primary=reader == self._primary)
        if old is not None:
            old.close()
        return memory

    # -- the capture thread

    def loan(self) -> int | None:
        """Lend the next free slot to the camera; None when all are in use."""
        with self._lock:
            return self._slots.loan()

    def abandon(self, slot: int) -> None:
        """Take a slot back from the camera without a frame."""
        with self._lock:
            self._slots.abandon(slot)

    def receive(self, slot: int) -> Outcome:
        """Decide whether a filled slot can be offered; call before announcing its trigger.

        Returns:
            Reason NONE, INSPECTOR_DOWN or RING_FULL. A slot among `freed` is no longer the caller's to offer.
        """
        with self._lock:
            receipt = self._slots.receive(slot)
            if receipt.evicted is not None:
                return Outcome(receipt.reason, (receipt.evicted,), self._waiting.pop(receipt.evicted))
            return Outcome(receipt.reason, (slot,) if receipt.reason is Reason.RING_FULL else ())

    def offer(self, slot: int, trigger: Trigger) -> Outcome:
        """Offer an announced frame to every reader with quota.

        Returns:
            RING_FULL when the inspector's socket had no room, INSPECTOR_DOWN when it is gone: amend the announcement.
        """
        with self._lock:
            self._waiting[slot] = trigger
            return self._lend_waiting(slot)

    # -- the service thread

    def serve(self, timeout_s: float) -> None:
        """Accept readers, take releases, reclaim what dead readers held; waits at most `timeout_s`."""
        freed: list[int] = []
        for key, _ in self._selector.select(timeout_s):
            with self._lock:
                if key.fileobj is self._server:
                    self._accept()
                else:
                    freed += self._listen_to(key.fd)
        with self._lock:
            freed += self._lend_waiting(None).freed if self.table else ()
        if freed and self._on_freed is not None:
            self._on_freed(sorted(set(freed)))

    def status(self) -> dict[str, int]:
        """Give `slots`, `leased`, `dropped` (all generations), `missed` (observers), `readers`, `generation`."""
        with self._lock:
            table = self.table
            return {
                "slots": table.slots if table else 0,
                "leased": table.leased if table else 0,
                "dropped": self.dropped_before + (table.dropped if table else 0),
                "missed": table.missed if table else 0,
                "readers": len(self._peers),
                "generation": self.generation,
            }

    @property
    def has_inspector(self) -> bool:
        """Whether the primary reader is connected."""
        return self._primary is not None

    def close(self) -> None:
        """Hang up on everybody, remove the socket file, free the memory. Readers' mappings stay theirs."""
        self._selector.close()
        for peer in self._peers.values():
            peer.socket.close()
        self._peers.clear()
        self._server.close()
        self._path.unlink(missing_ok=True)
        if self.memory is not None:
            self.memory.close()
            self.memory = None

    # -- under the lock

    _primary: int | None = None

    @property
    def _slots(self) -> SlotTable:
        if self.table is None:
            raise RingError("the ring has no memory yet; call renew() with a layout first")
        return self.table

    def _lend_waiting(self, newest: int | None) -> Outcome:
        table, reason, freed = self._slots, Reason.NONE, []
        while (slot := table.next_held()) is not None and slot in self._waiting:
            trigger = self._waiting.pop(slot)
            message = datagrams.encode_frame(slot, self.generation, trigger)
            takers = [reader for reader in table.takers(slot) if self._send(reader, message)]
            if not table.lend(slot, takers):
                freed.append(slot)
            if slot == newest and self._primary not in takers:
                reason = Reason.INSPECTOR_DOWN if self._primary is None else Reason.RING_FULL
                table.dropped += reason is Reason.RING_FULL
        return Outcome(reason, tuple(freed))

    def _send(self, reader: int, message: bytes) -> bool:
        try:
            return seqpacket.send(self._peers[reader].socket, message)
        except ConnectionError:
            return False  # its EOF is on the way to serve(), which reclaims

    def _accept(self) -> None:
        peer = seqpacket.accept(self._server)
        if peer is not None:
            self._peers[peer.fileno()] = _Peer(peer)
            self._selector.register(peer, selectors.EVENT_READ)

    def _listen_to(self, reader: int) -> list[int]:
        peer = self._peers.get(reader)
        freed: list[int] = []
        if peer is None:
            return freed
        try:
            for message, fd in seqpacket.drain(peer.socket):
                if fd is not None:
                    os.close(fd)
                if peer.has_introduced_itself:
                    freed += self._take_release(reader, message)
                else:
                    self._introduce(reader, peer, datagrams.decode_hello(message))
        except EOFError:
            freed += self._hang_up(reader)
        except RingError as error:
            log.warning("%s: reader hung up on: %s", self._path.name, error)
            freed += self._hang_up(reader)
        return freed

    def _introduce(self, reader: int, peer: _Peer, role: ReaderRole) -> None:
        is_primary = role is ReaderRole.INSPECTOR
        if is_primary and self._primary is not None:
            raise RingError("there is an inspector already; stop the other one first")
        peer.has_introduced_itself = True
        if is_primary:
            self._primary = reader
        if self.memory is not None:
            self._welcome(reader, peer, is_primary=is_primary)

    def _welcome(self, reader: int, peer: _Peer, *, is_primary: bool) -> None:
        if self.memory is None:
            return
        self._slots.add_reader(reader, is_primary=is_primary)
        # A full or broken socket here ends in EOF and a new connection, which is welcomed again.
        with contextlib.suppress(ConnectionError):
            seqpacket.send(peer.socket, datagrams.encode_layout(self.generation, self.memory.layout), self.memory.fd)

    def _take_release(self, reader: int, message: bytes) -> list[int]:
        slot, generation = datagrams.decode_release(message)
        if generation != self.generation:
            return []  # a lease of an older generation: its memory is the reader's alone by now
        return [slot] if self._slots.release(slot, reader) else []

    def _hang_up(self, reader: int) -> list[int]:
        peer = self._peers.pop(reader)
        self._selector.unregister(peer.socket)
        peer.socket.close()
        if reader == self._primary:
            self._primary = None
        return self.table.drop_reader(reader) if self.table else []
