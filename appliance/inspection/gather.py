"""From leased frames to one batch: the ring itself where the frames are neighbours, else one copy of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch
from appliance.messages import BYTES_PER_PIXEL, FrameGeometry
from appliance.modelling import ModelInput, Placement, fit
from appliance.modelling.pixels import to_pixel_format
from appliance.ring import FrameLease, contiguous


@dataclass(frozen=True)
class Batch:
    """Model input for some frames.

    Attributes:
        pixels: (N, C, H, W) or (N, H, W, C) uint8, contiguous. Lies in the ring, or in the gatherer's buffer until
            its next batch.
        placements: How each frame lies in the model input.
        copies: How often each frame's pixels were copied to get here: 0 or 1.
    """

    pixels: NDArray[np.uint8]
    placements: list[Placement]
    copies: int


class Gatherer:
    """Brings frames to the model's input. One batch at a time: the next one overwrites its buffer."""

    def __init__(self, model_input: ModelInput, max_batch: int) -> None:
        self._input = model_input
        self._exact = FrameGeometry(model_input.width, model_input.height, model_input.pixel_format)
        self._buffer = np.empty((max_batch, *model_input.frame_shape), np.uint8)
        self._refusals: dict[FrameGeometry, str | None] = {}

    def refusal(self, geometry: FrameGeometry) -> str | None:
        """Say why frames of this shape can't be brought to the model; None when they can."""
        if geometry not in self._refusals:
            self._refusals[geometry] = self._try(geometry)
        return self._refusals[geometry]

    def gather(self, leases: Sequence[FrameLease]) -> Batch:
        """Lay frames out as one batch.

        Args:
            leases: 1 to `max_batch` frames, of shapes that are not refused. Held until the batch has been used.
        """
        if all(lease.geometry == self._exact for lease in leases):
            in_ring = contiguous(leases)
            if in_ring is not None:
                placement = Placement(self._input.width, self._input.height)
                pixels = in_ring.reshape(len(leases), *self._buffer.shape[1:]).view(np.uint8)
                return Batch(pixels, [placement] * len(leases), copies=0)
        placements = []
        for place, lease in zip(self._buffer, leases, strict=False):
            converted = to_pixel_format(lease.pixels, lease.geometry.pixel_format, self._input.pixel_format)
            image, placement = fit(converted, self._input)
            place[...] = image.reshape(place.shape)
            placements.append(placement)
        return Batch(self._buffer[: len(leases)], placements, copies=1)

    def _try(self, geometry: FrameGeometry) -> str | None:
        sample_bytes = BYTES_PER_PIXEL[geometry.pixel_format]
        shape = (geometry.height, geometry.width, 3) if sample_bytes == 3 else (geometry.height, geometry.width)
        black = np.zeros(shape, np.uint16 if geometry.pixel_format == "Mono16" else np.uint8)
        try:
            fit(to_pixel_format(black, geometry.pixel_format, self._input.pixel_format), self._input)
        except ModelContractMismatch as error:
            return str(error)
        return None
