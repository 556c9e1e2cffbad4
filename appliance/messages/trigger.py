"""One exposure asked of one camera, as the grabber announces it.

Byte map, little endian, 64 bytes; the same bytes stand in `announced.<cam>` and travel in frame descriptors:

    offset  size  field
         0     4  crc32 of bytes 4..63
         4     1  reason (Reason; not NONE: no frame can be judged, decide UNKNOWN at once)
         5     1  clock_source (ClockSource)
         6     2  flags (TriggerFlag)
         8     8  trigger_id, dense and monotone per camera within a ledger epoch
        16     8  frame_id as the camera counts, 0 when no frame came
        24     8  device_timestamp_ns, start of exposure on the camera's clock
        32     8  exposed_ns, start of exposure on the host's CLOCK_MONOTONIC
        40     8  encoder_count: encoder or line edge counter latched with the frame
        48     4  received_after_us, from exposed_ns to receipt by the grabber
        52     4  clock_uncertainty_us of exposed_ns
        56     4  stream_epoch, one per acquisition
        60     2  width, px
        62     2  height, px
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntFlag

from appliance.messages.reason import ClockSource, Reason

TRIGGER_BYTES = 64
_BODY = struct.Struct("<BBHQQQQQIIIHH")
_CRC = struct.Struct("<I")


class TriggerFlag(IntFlag):
    """Facts about a trigger that fit in a bit."""

    SIMULATED = 1  # a simulated camera or replayed files: never on a production topic
    COUNTED = 2  # encoder_count is real
    FREE_RUNNING = 4  # no trigger asked for it: no claim of completeness


@dataclass(frozen=True)
class Trigger:
    """A trigger as announced; field meanings are the module's byte map."""

    trigger_id: int
    exposed_ns: int
    frame_id: int = 0
    device_timestamp_ns: int = 0
    encoder_count: int = 0
    received_after_us: int = 0
    clock_source: ClockSource = ClockSource.RECEIPT
    clock_uncertainty_us: int = 0
    stream_epoch: int = 0
    width: int = 0
    height: int = 0
    flags: TriggerFlag = TriggerFlag(0)
    reason: Reason = Reason.NONE

    def pack(self) -> bytes:
        """Encode as 64 bytes with their CRC."""
        body = _BODY.pack(
            self.reason,
            self.clock_source,
            self.flags,
            self.trigger_id,
            self.frame_id,
            self.device_timestamp_ns,
            self.exposed_ns,
            self.encoder_count,
            min(self.received_after_us, 0xFFFFFFFF),
            min(self.clock_uncertainty_us, 0xFFFFFFFF),
            self.stream_epoch,
            self.width,
            self.height,
        )
        return _CRC.pack(zlib.crc32(body)) + body

    @classmethod
    def unpack(cls, record: bytes) -> "Trigger | None":
        """Decode 64 bytes; None when the CRC differs (torn, or never written)."""
        if len(record) != TRIGGER_BYTES or _CRC.unpack_from(record)[0] != zlib.crc32(record[4:]):
            return None
        (reason, source, flags, trigger_id, frame_id, device_ns, exposed_ns, encoder, after_us, uncertainty_us,
         epoch, width, height) = _BODY.unpack_from(record, 4)  # fmt: skip
        return cls(
            trigger_id=trigger_id,
            exposed_ns=exposed_ns,
            frame_id=frame_id,
            device_timestamp_ns=device_ns,
            encoder_count=encoder,
            received_after_us=after_us,
            clock_source=ClockSource(source),
            clock_uncertainty_us=uncertainty_us,
            stream_epoch=epoch,
            width=width,
            height=height,
            flags=TriggerFlag(flags),
            reason=Reason(reason),
        )

    @property
    def received_ns(self) -> int:
        """When the grabber had the frame, CLOCK_MONOTONIC."""
        return self.exposed_ns + self.received_after_us * 1000
