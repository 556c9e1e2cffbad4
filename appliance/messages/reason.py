"""The words of a verdict. Numbers are stored in tally files and never change their meaning."""

from enum import IntEnum


class VerdictWord(IntEnum):
    """What an inspection ended with. UNKNOWN means reject, as NG does; nothing defaults to OK."""

    OK = 1
    NG = 2
    UNKNOWN = 3


class Reason(IntEnum):
    """Why a verdict is UNKNOWN; NONE for OK and NG."""

    NONE = 0
    LATE = 1  # no finding before the deadline
    RING_FULL = 2  # received, but no slot could be lent to the inspector
    INCOMPLETE_FRAME = 3  # the camera delivered fewer bytes than the payload
    LOST_FRAME = 4  # a gap in frame_id: exposed, never delivered
    CAMERA_LOST = 5
    INSPECTOR_DOWN = 6
    GRABBER_DOWN = 7
    MODEL_ERROR = 8  # the session failed, or its outputs were not finite
    IMAGE_INVALID = 9  # exposure, sharpness or completeness outside the recipe's limits
    PART_NOT_FOUND = 10
    STALE_FRAME = 11  # the same pixels, or the same frame id, again
    NOT_READY = 12  # camera and independent count contradict each other
    UNRECORDED = 13
    MISSED_TRIGGER = 14  # the camera's edge counter counted a pulse that left no frame
    VIEW_MISSING = 15  # a view that the recipe asks for did not come in time

    @property
    def word(self) -> str | None:
        """The name used in messages, e.g. "ring_full"; None for NONE."""
        return self.name.lower() if self else None


class ClockSource(IntEnum):
    """How `exposed_ns` was mapped from the camera's clock to the host's."""

    RECEIPT = 0  # frame receipt minus the configured transfer time
    MIN_DELAY = 1  # smallest receipt - device timestamp seen: late by the fastest transfer
    TIMESTAMP_LATCH = 2  # SFNC TimestampLatch read between two host readings

    @property
    def word(self) -> str:
        """The name used in messages, e.g. "timestamp_latch"."""
        return self.name.lower()
