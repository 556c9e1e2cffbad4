"""The writer's end of the ring: lends slots to the camera, frames to readers, and takes both back.

Two threads use it. The capture thread calls `loan`, `receive` and `offer`; the service thread calls `serve`. One lock
guards the slot table and the list of readers; nothing under it blocks: sends are MSG_DONTWAIT.

Every received frame ends in exactly one of these; the last four make its trigger UNKNOWN:

    offered          the inspector has it; its lease ends by release or EOF
    decided          its trigger was announced with a reason already: observers may have it, the inspector never
    RING_FULL        said by `receive` (before the announcement) or by `offer`
    INSPECTOR_DOWN   likewise
    evicted          `receive` of a newer frame gave it up (DROP_OLDEST)
    lost             it waited, and then the inspector went, or the generation ended: `on_lost`
"""

import contextlib
import logging
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
from appliance.ring.slots import OverflowPolicy, SlotState, SlotTable

log = logging.getLogger(__name__)


@dataclass
class _Peer:
    socket: socket.socket
    has_introduced_itself: bool = False
    is_sampler: bool = False


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
        on_lost: Called by any thread, without the lock, with a frame that had waited: amend its announcement.
    """

    def __init__(
        self,
        path: Path,
        *,
        overflow: OverflowPolicy = OverflowPolicy.DROP_NEWEST,
        lease_quota: int | None = None,
        on_freed: Callable[[list[int]], None] | None = None,
        on_lost: Callable[[Trigger, Reason], None] | None = None,
    ) -> None:
        self._path = path
        self._overflow = overflow
        self._lease_quota = lease_quota
        self._on_freed = on_freed
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._peers: dict[int, _Peer] = {}
        self._primary: int | None = None
        self._waiting: dict[int, Trigger] = {}
        self._lost: list[tuple[Trigger, Reason]] = []
        self._server = seqpacket.listen(path)
        self._inode = path.stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self.generation = 0
        self.memory: RingMemory | None = None
        self.table: SlotTable | None = None
        self.dropped_before = 0
        self.missed_before = 0

    # -- generations

    def renew(self, layout: RingLayout) -> RingMemory:
        """Start a generation: new memory, all slots free, told to every reader. Old leases stay valid for readers.

        The camera must not write any more; arrays and addresses of the old memory end here.
        """
        memory = RingMemory(layout)
        with self._lock:
            old, self.memory = self.memory, memory
            for trigger in self._waiting.values():
                self._lose(trigger, Reason.RING_FULL)
            if self.table is not None:
                self.dropped_before += self.table.dropped
                self.missed_before += self.table.missed
            self.table = SlotTable(layout.slots, lease_quota=self._lease_quota or layout.slots, overflow=self._overflow)
            self.generation += 1
            self._waiting.clear()
            for reader, peer in list(self._peers.items()):
                if peer.has_introduced_itself:
                    self._rewelcome(reader, peer)
        if old is not None:
            old.close()
        self._report_lost()
        return memory

    # -- the capture thread

    def loan(self) -> int | None:
        """Lend the next free slot to the camera; None when all are in use."""
        with self._lock:
            return self._slots.loan()

    def abandon(self, slot: int) -> None:
        """Take a slot back that will not be offered: the camera gave no frame, or its trigger was not announced."""
        with self._lock:
            if slot in self._waiting:
                raise RingError(f"slot {slot} was offered: only its readers can give it back")
            self._slots.abandon(slot)

    def receive(self, slot: int) -> Outcome:
        """Decide whether a filled slot can be offered; call before announcing its trigger.

        Returns:
            Reason NONE, INSPECTOR_DOWN or RING_FULL. A slot among `freed` is no longer the caller's to offer.
        """
        with self._lock:
            receipt = self._slots.receive(slot)
            if receipt.evicted is not None:
                return Outcome(receipt.reason, (receipt.evicted,), self._waiting.pop(receipt.evicted, None))
            return Outcome(receipt.reason, (slot,) if receipt.reason is Reason.RING_FULL else ())

    def offer(self, slot: int, trigger: Trigger) -> Outcome:
        """Offer an announced frame to every reader with quota; one announced with a reason, to observers only.

        Returns:
            The trigger's own reason, if it has one. Else RING_FULL when the inspector's socket had no room,
            INSPECTOR_DOWN when it is gone: amend the announcement.
        Raises:
            RingError: The slot holds no received frame, or was offered before.
        """
        with self._lock:
            if slot in self._waiting or self._slots.states[slot] is not SlotState.HELD:
                raise RingError(f"slot {slot} can't be offered: {self._slots.states[slot].value}, no new frame in it")
            self._waiting[slot] = trigger
            outcome = self._lend_waiting(slot)
        self._report_lost()
        return outcome

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
        self._report_lost()
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
                "missed": self.missed_before + (table.missed if table else 0),
                "readers": len(self._peers),
                "generation": self.generation,
            }

    @property
    def has_inspector(self) -> bool:
        """Whether the primary reader is connected."""
        return self._primary is not None

    def close(self) -> None:
        """Hang up on everybody, remove the socket file, free the memory. Readers' mappings stay theirs.

        The service thread must have ended.
        """
        self._selector.close()
        for peer in self._peers.values():
            peer.socket.close()
        self._peers.clear()
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:  # a successor may listen there already
                self._path.unlink()
        if self.memory is not None:
            self.memory.close()
            self.memory = None

    # -- under the lock

    @property
    def _slots(self) -> SlotTable:
        if self.table is None:
            raise RingError("the ring has no memory yet; call renew() with a layout first")
        return self.table

    def _lend_waiting(self, newest: int | None) -> Outcome:
        table, reason, freed = self._slots, Reason.NONE, []
        while (slot := table.next_held()) is not None and slot in self._waiting:
            trigger = self._waiting[slot]
            message = datagrams.encode_frame(slot, self.generation, trigger)
            fate = trigger.reason or self._send_to_primary(message)
            if fate is None:
                break  # it waits on, as this policy wants: `serve` tries again, `receive` may evict it
            del self._waiting[slot]
            if not self._lend(slot, message, to_primary=fate is Reason.NONE):
                freed.append(slot)
            if slot != newest and fate is not trigger.reason:
                self._lose(trigger, fate)
            elif slot == newest:
                reason = fate
                table.dropped += fate is Reason.RING_FULL and trigger.reason is Reason.NONE
        return Outcome(reason, tuple(freed))

    def _send_to_primary(self, message: bytes) -> Reason | None:
        if self._primary is None:
            return Reason.INSPECTOR_DOWN
        try:
            if seqpacket.send(self._peers[self._primary].socket, message):
                return Reason.NONE
        except ConnectionError:
            return Reason.INSPECTOR_DOWN  # its EOF is on the way to serve(), which reclaims
        return Reason.RING_FULL if self._overflow is OverflowPolicy.DROP_NEWEST else None

    def _lend(self, slot: int, message: bytes, *, to_primary: bool) -> bool:
        takers = [
            reader
            for reader in self._slots.takers(slot)
            if (to_primary if reader == self._primary else self._send_to_observer(reader, message))
        ]
        return self._slots.lend(slot, takers)

    def _send_to_observer(self, reader: int, message: bytes) -> bool:
        try:
            return seqpacket.send(self._peers[reader].socket, message)
        except ConnectionError:
            return False

    def _lose(self, trigger: Trigger, reason: Reason) -> None:
        self._slots.dropped += reason is Reason.RING_FULL
        self._lost.append((trigger, reason))

    def _report_lost(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, []
        if self._on_lost is not None:
            for trigger, reason in lost:
                self._on_lost(trigger, reason)

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
            for message in seqpacket.drain_messages(peer.socket):
                if peer.has_introduced_itself:
                    freed += self._take_release(reader, message)
                else:
                    self._introduce(reader, peer, datagrams.decode_hello(message))
        except EOFError:
            freed += self._hang_up(reader)
        except RingError as error:
            # str: a kept log record would keep the traceback, its frames, and so the pixels they look at.
            log.warning("%s: reader hung up on: %s", self._path.name, str(error))
            freed += self._hang_up(reader)
        return freed

    def _introduce(self, reader: int, peer: _Peer, role: ReaderRole) -> None:
        is_primary = role is ReaderRole.INSPECTOR
        if is_primary and self._primary is not None:
            raise RingError("there is an inspector already; stop the other one first")
        peer.has_introduced_itself, peer.is_sampler = True, role is ReaderRole.SAMPLER
        if is_primary:
            self._primary = reader
        if self.memory is not None:
            self._welcome(reader, peer, is_primary=is_primary)

    def _welcome(self, reader: int, peer: _Peer, *, is_primary: bool) -> None:
        if self.memory is None:
            return
        layout = datagrams.encode_layout(self.generation, self.memory.layout)
        try:
            is_sent = seqpacket.send(peer.socket, layout, self.memory.fd)
        except ConnectionError as error:
            raise RingError(f"generation {self.generation} can't be sent: {error}") from error
        if not is_sent:
            # It would be offered frames of memory it has never heard of. EOF makes it connect again.
            raise RingError(f"generation {self.generation} can't be sent: the reader has stopped reading")
        self._slots.add_reader(reader, is_primary=is_primary, is_sampler=peer.is_sampler)

    def _rewelcome(self, reader: int, peer: _Peer) -> None:
        try:
            self._welcome(reader, peer, is_primary=reader == self._primary)
        except RingError as error:
            log.warning("%s: reader hung up on: %s", self._path.name, str(error))
            self._hang_up(reader)

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
