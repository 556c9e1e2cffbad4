"""Chunk data behind an image: numbers the camera latched with the exposure, read without the node map.

The node map says once, at start, where each value lies (`ChunkField`); each frame is then read from memory, because a
node map may only be touched by the thread that owns it.
"""

import ctypes
from dataclasses import dataclass

CHUNK_NAMES = ("FrameID", "Timestamp", "ExposureTime", "CounterValue", "EncoderValue", "LineStatusAll")
"""SFNC ChunkSelector entries the appliance asks for, where a camera offers them."""


@dataclass(frozen=True)
class ChunkField:
    """Where a value lies inside its chunk."""

    chunk_id: int
    offset: int
    length: int
    byte_order: str = "little"

    def read(self, base: int, chunk_length: int) -> int | None:
        """Read an unsigned integer; None when the chunk is shorter than promised.

        Args:
            base: Address of the chunk's first byte, valid during the call.
        """
        if self.offset + self.length > chunk_length:
            return None
        raw = ctypes.string_at(base + self.offset, self.length)
        return int.from_bytes(raw, "big" if self.byte_order == "big" else "little")
