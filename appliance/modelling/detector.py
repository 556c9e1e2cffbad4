"""Images in, detections out: a model outside the running line, for import, checks, measuring and people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.config import Tiling
from appliance.modelling.bundle import ModelBundle
from appliance.modelling.detections import Detections
from appliance.modelling.families import decoder_for
from appliance.modelling.pixels import Pixels, to_pixel_format
from appliance.modelling.placement import Placement, fit
from appliance.modelling.session import ModelSession
from appliance.modelling.tiling import Tile, merge, tiles_of

MAX_DETECTIONS = 100
"""In one frame; as the inspector asks for, so that a measured model is the one that runs."""


class Detector:
    """A bundle at work on images of any size, by the very steps of the inspection path."""

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        provider: str = "CPUExecutionProvider",
        threads: int | None = None,
        max_batch: int = 1,
        tiling: Tiling | None = None,
        provider_options: Mapping[str, str] | None = None,
    ) -> None:
        """Open the network; errors and arguments as `ModelSession`, and the recipe's tiling."""
        self.bundle = bundle
        self.tiling = tiling
        self.session = ModelSession(
            bundle, provider=provider, threads=threads, max_batch=max_batch, provider_options=provider_options
        )
        self._decoder = decoder_for(bundle, self.session.output_shapes)

    def detect(
        self,
        images: Sequence[Pixels],
        *,
        pixel_format: str = "Mono8",
        score: float | None = None,
        nms_iou: float | None = None,
        max_detections: int = MAX_DETECTIONS,
    ) -> list[Detections]:
        """Find what the model finds in each image.

        Args:
            images: (H, W) or (H, W, 3), as `to_pixel_format` takes them; sizes may differ.
            pixel_format: PFNC name of the images: "Mono8", "Mono16", "RGB8", "BGR8" or "BayerRG8".
            score, nms_iou: Default: the bundle's thresholds.
        Returns:
            One item for each image, in the same order.
        Raises:
            ModelContractMismatch: An image's shape or pixel format can't be brought to the model.
            ModelError: The network failed.
        """
        model_input, thresholds = self.bundle.input, self.bundle.thresholds
        frames = [to_pixel_format(image, pixel_format, model_input.pixel_format) for image in images]
        tiles = [self._tiles(frame) for frame in frames]
        pieces = [tile.cut(frame) for frame, own in zip(frames, tiles, strict=True) for tile in own]
        found: list[Detections] = []
        for outputs, places in self._runs(pieces):
            found += self._decoder.decode(
                outputs,
                places,
                score=thresholds.score if score is None else score,
                nms_iou=thresholds.nms_iou if nms_iou is None else nms_iou,
                max_detections=max_detections,
            )
        of_piece = iter(found)
        return [merge(own, [next(of_piece) for _ in own], max_detections) for own in tiles]

    def _tiles(self, frame: NDArray[np.uint8]) -> list[Tile]:
        height_px, width_px = frame.shape[:2]
        if self.tiling is None:
            return [Tile(0, 0, width_px, height_px)]
        return tiles_of(width_px, height_px, self.bundle.input, self.tiling)

    def _runs(self, pieces: Sequence[NDArray[np.uint8]]) -> Iterator[tuple[list[NDArray[np.float32]], list[Placement]]]:
        model_input, size = self.bundle.input, self.session.max_batch
        for first in range(0, len(pieces), size):
            fitted = [fit(piece, model_input) for piece in pieces[first : first + size]]
            batch = np.stack([image.reshape(model_input.frame_shape) for image, _ in fitted])
            yield self.session.run(batch), [place for _, place in fitted]
