"""What a source says about its frames: their shape before the first, and each one as it comes."""

from dataclasses import dataclass
from enum import Enum

from appliance.messages import FrameGeometry


class Announcement(Enum):
    """Whose memory a source's frames arrive in; the value is the word in status."""

    RING = "ring"  # the camera writes into ring slots: no copy
    PRODUCER = "producer"  # the producer's own buffers: one copy into a slot
    FILES = "files"  # decoded image files: one copy into a slot

    @property
    def copies_per_frame(self) -> int:
        """Copies of the pixels on their way to the slot."""
        return 0 if self is Announcement.RING else 1


class Counting(Enum):
    """What a delivery's `count` counts."""

    NOTHING = "nothing"
    TRIGGERS = "triggers"  # edges of the line that triggers the camera: one per trigger
    ENCODER = "encoder"  # encoder steps: a fixed but unknown number per trigger


@dataclass(frozen=True)
class StreamPlan:
    """The frames a source is going to deliver.

    Attributes:
        geometry: Shape of every frame.
        tail_bytes: Bytes of a payload behind the image, for chunk data.
        alignment: The producer's, in bytes, for memory it writes to.
        is_free_running: No trigger asks for the frames.
        is_simulated: Not a real camera.
        counting: What `Delivery.count` is.
    """

    geometry: FrameGeometry
    tail_bytes: int = 0
    alignment: int = 1
    is_free_running: bool = True
    is_simulated: bool = False
    counting: Counting = Counting.NOTHING

    @property
    def payload_bytes(self) -> int:
        """Image and tail."""
        return self.geometry.payload_bytes + self.tail_bytes


@dataclass(frozen=True)
class Delivery:
    """One buffer that came from a source.

    Attributes:
        slot: The ring slot that holds the pixels; it is the receiver's from now on. None when no slot was there to
            copy into: the frame is gone.
        received_ns: CLOCK_MONOTONIC at receipt.
        frame_id: As the camera counts; None when the source doesn't number its frames.
        device_timestamp_ns: Start of exposure on the camera's clock; None when unknown.
        is_incomplete: The image is not whole, or has another shape than planned.
        count: Reading of the counter or encoder latched with the exposure; None when unknown.
    """

    slot: int | None
    received_ns: int
    frame_id: int | None
    device_timestamp_ns: int | None = None
    is_incomplete: bool = False
    count: int | None = None
