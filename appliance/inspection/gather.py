"""From leased frames to one batch: the ring itself where the frames are neighbours, else one copy of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.config import Tiling
from appliance.errors import ModelContractMismatch
from appliance.messages import BYTES_PER_PIXEL, FrameGeometry
from appliance.modelling import ModelInput, Placement, fit
from appliance.modelling.pixels import to_pixel_format
from appliance.modelling.tiling import Tile, tiles_of
from appliance.ring import FrameLease, contiguous

WHOLE = (None,)
"""Tilings of a frame that is inspected as it is."""
Tilings = Sequence[Tiling | None]


@dataclass(frozen=True)
class Row:
    """What one row of a batch shows: a frame, or a tile of it.

    Attributes:
        frame: Which frame of the batch.
        tiling: How the frame was cut; None: not at all.
        tile: The part of the frame.
        placement: How the tile lies in the model input.
    """

    frame: int
    tiling: Tiling | None
    tile: Tile
    placement: Placement


@dataclass(frozen=True)
class Batch:
    """Model input for some frames.

    Attributes:
        pixels: (R, C, H, W) or (R, H, W, C) uint8, contiguous. Lies in the ring, or in the gatherer's buffer until
            its next batch.
        rows: What each row shows; frame by frame.
        copies: How often each frame's pixels were copied to get here: 0 or 1.
    """

    pixels: NDArray[np.uint8]
    rows: list[Row]
    copies: int


class Gatherer:
    """Brings frames to the model's input. One batch at a time: the next one overwrites its buffer."""

    def __init__(self, model_input: ModelInput, max_batch: int) -> None:
        self._input = model_input
        self._exact = FrameGeometry(model_input.width, model_input.height, model_input.pixel_format)
        self._buffer = np.empty((max_batch, *model_input.frame_shape), np.uint8)
        self._refusals: dict[tuple[FrameGeometry, Tiling | None], str | None] = {}

    def refusal(self, geometry: FrameGeometry, tilings: Tilings = WHOLE) -> str | None:
        """Say why frames of this shape can't be brought to the model; None when they can."""
        for tiling in tilings:
            if (geometry, tiling) not in self._refusals:
                self._refusals[geometry, tiling] = self._try(geometry, tiling)
        return next((told for tiling in tilings if (told := self._refusals[geometry, tiling]) is not None), None)

    def gather(self, leases: Sequence[FrameLease], tilings: Sequence[Tilings] | None = None) -> Batch:
        """Lay frames out as one batch.

        Args:
            leases: 1 to `max_batch` frames, of shapes that are not refused. Held until the batch has been used.
            tilings: For each frame, how it is to be cut, once for each way; default: nowhere.
        """
        tilings = tilings or [WHOLE] * len(leases)
        if all(lease.geometry == self._exact for lease in leases) and all(each == WHOLE for each in tilings):
            in_ring = contiguous(leases)
            if in_ring is not None:
                pixels = in_ring.reshape(len(leases), *self._buffer.shape[1:]).view(np.uint8)
                tile, place = self._whole(self._exact), Placement(self._input.width, self._input.height)
                return Batch(pixels, [Row(frame, None, tile, place) for frame in range(len(leases))], copies=0)
        images: list[NDArray[np.uint8]] = []
        rows: list[Row] = []
        for number, (lease, ways) in enumerate(zip(leases, tilings, strict=True)):
            frame = to_pixel_format(lease.pixels, lease.geometry.pixel_format, self._input.pixel_format)
            for tiling in ways:
                for tile in self._tiles(lease.geometry, tiling):
                    image, placement = fit(tile.cut(frame), self._input)
                    images.append(image)
                    rows.append(Row(number, tiling, tile, placement))
        return Batch(self._laid_out(images), rows, copies=1)

    def _laid_out(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        if len(images) > len(self._buffer):
            self._buffer = np.empty((len(images), *self._buffer.shape[1:]), np.uint8)
        for place, image in zip(self._buffer, images, strict=False):
            place[...] = image.reshape(place.shape)
        return self._buffer[: len(images)]

    def _tiles(self, geometry: FrameGeometry, tiling: Tiling | None) -> list[Tile]:
        if tiling is None:
            return [self._whole(geometry)]
        return tiles_of(geometry.width, geometry.height, self._input, tiling)

    @staticmethod
    def _whole(geometry: FrameGeometry) -> Tile:
        return Tile(0, 0, geometry.width, geometry.height)

    def _try(self, geometry: FrameGeometry, tiling: Tiling | None) -> str | None:
        sample_bytes = BYTES_PER_PIXEL[geometry.pixel_format]
        shape = (geometry.height, geometry.width, 3) if sample_bytes == 3 else (geometry.height, geometry.width)
        black = np.zeros(shape, np.uint16 if geometry.pixel_format == "Mono16" else np.uint8)
        try:
            frame = to_pixel_format(black, geometry.pixel_format, self._input.pixel_format)
            fit(self._tiles(geometry, tiling)[0].cut(frame), self._input)
        except ModelContractMismatch as error:
            return str(error)
        return None
