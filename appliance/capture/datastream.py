"""A GenTL data stream: who owns its buffers, how they are queued, and what a filled one says about itself.

    mode       memory                       queued by             a delivered frame is
    RING       slots of the frame ring      `lend(slot)`          in its slot already
    PRODUCER   the producer's, or private   this class, at once   copied into the slot lent longest ago

Threads: `announce`, `start`, `halt` and `close` are the owner's; `wait` is the capture thread's; `lend` and `wake` are
anybody's. GenTL promises that its functions may be called from several threads.
"""

import ctypes
import time
from collections import deque
from collections.abc import Mapping
from ctypes import byref, c_size_t, c_void_p

from appliance.capture import gentl
from appliance.capture.chunks import ChunkField
from appliance.capture.delivery import Announcement, Delivery, StreamPlan
from appliance.capture.gentl import BufferInfo, Code, GentlError, Producer, StreamInfo
from appliance.errors import SourceLost
from appliance.ring import RingMemory

MIN_PRODUCER_BUFFERS = 8
"""harvesters' default of 3 starves a camera at 50 Hz."""
MAX_CHUNKS = 32
_NS_PER_S = 1_000_000_000


class DataStream:
    """One opened data stream of one camera.

    Args:
        handle: DS_HANDLE.
        event: EVENT_HANDLE of its new-buffer event.
        where: Camera, for messages.
        fields: Chunk values to read, by SFNC name; those a frame doesn't carry are skipped.
        count_name: The field that is a delivery's `count`.
        timestamp_hz: Ticks per second of the camera's clock, for producers without timestamps in ns.
    """

    def __init__(
        self,
        producer: Producer,
        handle: int,
        event: int,
        *,
        where: str,
        fields: Mapping[str, ChunkField],
        count_name: str | None,
        timestamp_hz: int,
    ) -> None:
        self._producer = producer
        self._handle = handle
        self._event = event
        self._where = where
        self._fields = fields
        self._count_name = count_name
        self._timestamp_hz = timestamp_hz
        self._slot_of: dict[int, int] = {}
        self._buffer_of: dict[int, int] = {}
        self._private_memory: list[ctypes.Array[ctypes.c_char]] = []
        self._lent: deque[int] = deque()
        self._plan: StreamPlan | None = None
        self._memory: RingMemory | None = None
        self._is_started = False
        self.announcement = Announcement.RING

    # -- the owner

    @property
    def alignment(self) -> int:
        """What the producer asks of memory it writes to, in bytes."""
        return self._stream_info(StreamInfo.BUF_ALIGNMENT) or 1

    @property
    def underruns(self) -> int:
        """Frames the producer had no buffer for."""
        return self._stream_info(StreamInfo.NUM_UNDERRUN) or 0

    def announce(self, plan: StreamPlan, memory: RingMemory, *, mode: str) -> Announcement:
        """Tell the producer which memory to fill.

        Args:
            mode: "ring", "producer", or "auto": the ring, and the producer's own where that is refused.
        Raises:
            GentlError: Refused.
        """
        self._plan, self._memory = plan, memory
        if mode != "producer":
            try:
                self._announce_ring(plan, memory)
            except GentlError:
                self._revoke_all()
                if mode == "ring":
                    raise
            else:
                self.announcement = Announcement.RING
                return self.announcement
        self._announce_own(plan, memory.layout.slots)
        self.announcement = Announcement.PRODUCER
        return self.announcement

    def start(self) -> None:
        """Let the producer deliver; the camera is started afterwards, over its node map."""
        self._producer.call("EventFlush", self._event)
        self._producer.call("DSStartAcquisition", self._handle, gentl.START_DEFAULT, gentl.INFINITE)
        self._is_started = True

    def halt(self) -> None:
        """Stop the engine, after the camera was stopped; what was delivered can still be waited for."""
        if self._is_started:
            self._is_started = False
            code = self._producer.try_call("DSStopAcquisition", self._handle, gentl.StopFlag.DEFAULT)
            if code != Code.SUCCESS:
                self._producer.try_call("DSStopAcquisition", self._handle, gentl.StopFlag.KILL)

    def close(self) -> None:
        """Take all memory back from the producer. Never raises: the camera may be gone."""
        self.halt()
        self._producer.try_call("DSFlushQueue", self._handle, gentl.QUEUE_ALL_DISCARD)
        self._revoke_all()
        self._producer.try_call("EventFlush", self._event)
        self._lent.clear()

    # -- anybody

    def lend(self, slot: int) -> None:
        """Give a loaned ring slot to the camera.

        Raises:
            GentlError: The producer refuses it: lost camera.
        """
        if self.announcement is Announcement.RING:
            self._producer.call("DSQueueBuffer", self._handle, self._buffer_of[slot])
        else:
            self._lent.append(slot)

    def wake(self) -> None:
        """End a `wait` now."""
        self._producer.try_call("EventKill", self._event)

    # -- the capture thread

    def wait(self, timeout_s: float) -> Delivery | None:
        """Wait for the next frame, GIL released; None after the timeout or `wake`.

        Raises:
            SourceLost: The producer reports an error.
        """
        event, size = gentl.NewBuffer(), c_size_t(ctypes.sizeof(gentl.NewBuffer))
        code = self._producer.try_call("EventGetData", self._event, byref(event), byref(size), int(timeout_s * 1000))
        received_ns = time.monotonic_ns()
        if code in {Code.TIMEOUT, Code.ABORT}:
            return None
        if code != Code.SUCCESS or event.buffer is None:
            raise GentlError("EventGetData", code, self._where, "waiting for a frame")
        if self.announcement is Announcement.RING:
            slot = self._slot_of.get(event.buffer)
            if slot is None:
                raise SourceLost(f"{self._where}: the producer delivered a buffer that was never announced")
            return self._describe(event.buffer, slot, received_ns)
        return self._copy(event.buffer, received_ns)

    def _copy(self, buffer: int, received_ns: int) -> Delivery:
        assert self._plan is not None
        assert self._memory is not None
        slot = self._lent.popleft() if self._lent else None
        delivery = self._describe(buffer, slot, received_ns)
        base = self._info(buffer, BufferInfo.BASE)
        if slot is not None and base is not None:
            filled = self._info(buffer, BufferInfo.SIZE_FILLED)
            image = self._plan.geometry.payload_bytes
            length = image if filled is None else min(filled, image)
            start = base + (self._info(buffer, BufferInfo.IMAGE_OFFSET) or 0)
            ctypes.memmove(self._memory.address(slot), start, length)
        self._producer.call("DSQueueBuffer", self._handle, buffer)
        return delivery

    def _describe(self, buffer: int, slot: int | None, received_ns: int) -> Delivery:
        chunks = self._chunk_values(buffer) if self._fields else {}
        frame_id = self._info(buffer, BufferInfo.FRAME_ID)
        timestamp_ns = chunks.get("Timestamp")
        return Delivery(
            slot=slot,
            received_ns=received_ns,
            frame_id=frame_id if frame_id is not None else chunks.get("FrameID"),
            device_timestamp_ns=timestamp_ns if timestamp_ns is not None else self._timestamp_ns(buffer),
            is_incomplete=self._is_incomplete(buffer),
            count=chunks.get(self._count_name) if self._count_name else None,
        )

    def _is_incomplete(self, buffer: int) -> bool:
        assert self._plan is not None
        if self._info(buffer, BufferInfo.IS_INCOMPLETE):
            return True
        filled = self._info(buffer, BufferInfo.SIZE_FILLED)
        geometry = self._plan.geometry
        if filled is not None and not geometry.payload_bytes <= filled <= self._plan.payload_bytes:
            return True
        # Some producers report 0 x 0 here (harvesters #263): the node map's shape stands then.
        width, height = self._info(buffer, BufferInfo.WIDTH), self._info(buffer, BufferInfo.HEIGHT)
        return bool(width and height) and (width, height) != (geometry.width, geometry.height)

    def _timestamp_ns(self, buffer: int) -> int | None:
        in_ns = self._info(buffer, BufferInfo.TIMESTAMP_NS)
        if in_ns:
            return in_ns
        ticks = self._info(buffer, BufferInfo.TIMESTAMP)
        return ticks * _NS_PER_S // self._timestamp_hz if ticks else None

    def _chunk_values(self, buffer: int) -> dict[str, int]:
        """Read the chunks of interest; empty where the buffer has none or the producer can't split it."""
        places, count = (gentl.ChunkPlace * MAX_CHUNKS)(), c_size_t(MAX_CHUNKS)
        base = self._info(buffer, BufferInfo.BASE)
        code = self._producer.try_call("DSGetBufferChunkData", self._handle, buffer, places, byref(count))
        if code != Code.SUCCESS or base is None:
            return {}
        found = {place.id: place for place in places[: count.value]}
        values = {}
        for name, field in self._fields.items():
            place = found.get(field.chunk_id)
            value = field.read(base + place.offset, place.length) if place is not None else None
            if value is not None:
                values[name] = value
        return values

    # -- buffers

    def _announce_ring(self, plan: StreamPlan, memory: RingMemory) -> None:
        for slot in range(memory.layout.slots):
            self._announce_at(memory.address(slot), plan.payload_bytes, slot)

    def _announce_own(self, plan: StreamPlan, slots: int) -> None:
        least = self._stream_info(StreamInfo.BUF_ANNOUNCE_MIN) or 1
        for number in range(max(MIN_PRODUCER_BUFFERS, least, slots // 2)):
            buffer = c_void_p()
            code = self._producer.try_call(
                "DSAllocAndAnnounceBuffer", self._handle, plan.payload_bytes, None, byref(buffer)
            )
            if code == Code.SUCCESS:
                self._slot_of[int(buffer.value or 0)] = number
            else:
                self._announce_at(self._allocate(plan), plan.payload_bytes, number)
        for handle in self._slot_of:
            self._producer.call("DSQueueBuffer", self._handle, handle)

    def _announce_at(self, address: int, size: int, number: int) -> None:
        buffer = c_void_p()
        self._producer.call("DSAnnounceBuffer", self._handle, address, size, None, byref(buffer))
        handle = int(buffer.value or 0)
        self._slot_of[handle] = number
        self._buffer_of[number] = handle

    def _allocate(self, plan: StreamPlan) -> int:
        memory = ctypes.create_string_buffer(plan.payload_bytes + plan.alignment)
        self._private_memory.append(memory)
        address = ctypes.addressof(memory)
        return address + -address % plan.alignment

    def _revoke_all(self) -> None:
        for handle in self._slot_of:
            base, user = c_void_p(), c_void_p()
            self._producer.try_call("DSRevokeBuffer", self._handle, handle, byref(base), byref(user))
        self._slot_of.clear()
        self._buffer_of.clear()
        self._private_memory.clear()

    def _info(self, buffer: int, command: BufferInfo) -> int | None:
        return self._producer.number("DSGetBufferInfo", self._handle, buffer, command)

    def _stream_info(self, command: StreamInfo) -> int | None:
        return self._producer.number("DSGetInfo", self._handle, command)
