"""A part to learn from: a labelled image with its pixels in memory, and the same view without defects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError
from appliance.learning.datasets import LabelledImage, read_dataset, read_image
from appliance.learning.datasets.deeppcb import SIZE_PX, template_of
from appliance.modelling.pixels import to_pixel_format


@dataclass(frozen=True, kw_only=True)
class Part(LabelledImage):
    """One photographed part with its truth.

    Attributes:
        pixels: (H, W) uint8, Mono8.
        clean_pixels: The same view without defects, aligned, where the set has it.
    """

    pixels: NDArray[np.uint8]
    clean_pixels: NDArray[np.uint8] | None = None

    def with_boxes(self, boxes: NDArray[np.float32], kept: NDArray[np.bool_]) -> Self:
        """Return the part with moved boxes, of which only some are kept."""
        return replace(
            self,
            boxes=boxes[kept],
            class_ids=self.class_ids[kept],
            is_ignored=self.is_ignored[kept],
            size_px=None,
            places=(),
        )


def read_parts(folder: Path, split: str) -> list[Part]:
    """Read one split of DeepPCB: parts with defects and clean templates, sorted by name.

    Raises:
        DatasetError: The folder isn't DeepPCB, a group of the split is missing, or a file is broken.
    """
    return [_part(image) for image in read_dataset(folder, file_format="deeppcb", split=split).images]


def _part(image: LabelledImage) -> Part:
    template = None if image.is_ok else template_of(image.path)
    truth = {each.name: getattr(image, each.name) for each in fields(image)}
    clean = None if template is None else _read_grey(template)
    return Part(**truth, pixels=_read_grey(image.path), clean_pixels=clean)


def _read_grey(path: Path) -> NDArray[np.uint8]:
    pixels = to_pixel_format(*read_image(path), "Mono8")
    if pixels.shape != (SIZE_PX, SIZE_PX):
        raise DatasetError(f"image {path}: expected {SIZE_PX}x{SIZE_PX} px, got {pixels.shape[1]}x{pixels.shape[0]}")
    return pixels
