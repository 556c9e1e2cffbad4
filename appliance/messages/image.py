"""Shape of a camera's frames."""

from dataclasses import dataclass

BYTES_PER_PIXEL = {"Mono8": 1, "Mono16": 2, "RGB8": 3, "BayerRG8": 1}
"""PFNC pixel formats the appliance can inspect, unpacked, little endian."""


@dataclass(frozen=True)
class FrameGeometry:
    """Shape of every frame of one ring generation.

    Attributes:
        width: Columns, px.
        height: Rows, px.
        pixel_format: PFNC name, a key of `BYTES_PER_PIXEL`.
    """

    width: int
    height: int
    pixel_format: str

    @property
    def payload_bytes(self) -> int:
        """Bytes of pixels in one frame, without padding or chunks."""
        return self.width * self.height * BYTES_PER_PIXEL[self.pixel_format]
