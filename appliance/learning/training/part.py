"""A part to learn from: a labelled image with its pixels in memory, and the same view without defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import Dataset, LabelledImage, read_image
from appliance.learning.datasets.deeppcb import template_of
from appliance.learning.training.plan import Plan
from appliance.modelling import Placement
from appliance.modelling.bundle import ModelInput
from appliance.modelling.pixels import to_pixel_format
from appliance.modelling.placement import fit


@dataclass(frozen=True, kw_only=True)
class Part(LabelledImage):
    """One photographed part with its truth, in the px of the network's input.

    Attributes:
        pixels: (H, W) uint8, Mono8.
        clean_pixels: The same view without defects, aligned, where the set has it.
        lures: (K, 4) float32 xyxy px: what the network took for a defect on a good part when it was last asked.
    """

    pixels: NDArray[np.uint8]
    clean_pixels: NDArray[np.uint8] | None = None
    lures: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))

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


def load_parts(dataset: Dataset, model_input: ModelInput) -> list[Part]:
    """Read a set's pixels, fitted into the network's input as the appliance fits frames.

    Raises:
        DatasetError: An image can't be read.
    """
    return [_part(image, model_input) for image in dataset.images]


def model_input_of(plan: Plan) -> ModelInput:
    """Return the input that the trained bundle will have."""
    return ModelInput(
        name="images",
        layout="NCHW",
        dtype="uint8",
        pixel_format="Mono8",
        height=plan.height_px,
        width=plan.width_px,
        fit="letterbox",
        pad_value=plan.pad_value,
    )


def frame_boxes(parts: Sequence[Part]) -> list[Placement]:
    """Return where each part lies in the network's input: exactly, for it was fitted when it was read."""
    return [Placement(part.pixels.shape[1], part.pixels.shape[0]) for part in parts]


def _part(image: LabelledImage, model_input: ModelInput) -> Part:
    truth = {each.name: getattr(image, each.name) for each in fields(image)}
    pixels, place = fit(to_pixel_format(*read_image(image.path), "Mono8"), model_input)
    template = None if image.is_ok else template_of(image.path)
    clean = None
    if template is not None:
        clean, _ = fit(to_pixel_format(*read_image(template), "Mono8"), model_input)
    truth["boxes"] = place.to_model_input(image.boxes)
    return Part(**truth, pixels=pixels, clean_pixels=clean)
