"""How a frame lies inside a model's input, and the way back for boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelInput


@dataclass(frozen=True, slots=True)
class Placement:
    """A frame's place in the model input: `model_input = image * scale + offset`, each axis for itself.

    Attributes:
        image_width_px, image_height_px: Size of the frame; boxes are clipped to it.
        scale_x, scale_y: Model-input pixels per frame pixel.
        offset_x_px, offset_y_px: Where the frame's top-left corner lies in the model input.
    """

    image_width_px: int
    image_height_px: int
    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x_px: float = 0.0
    offset_y_px: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether frame and model input share their coordinates."""
        return (self.scale_x, self.scale_y, self.offset_x_px, self.offset_y_px) == (1.0, 1.0, 0.0, 0.0)

    def to_image(self, boxes_in_model_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (K, 4) xyxy boxes from the model input to the frame and clip them to it."""
        boxes = boxes_in_model_input
        if not self.is_identity:
            boxes = (boxes - self._offsets()) / self._scales()
        limits = np.array([self.image_width_px, self.image_height_px] * 2, np.float32)
        return np.clip(boxes, np.float32(0.0), limits).astype(np.float32, copy=False)

    def to_model_input(self, boxes_in_image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (K, 4) xyxy boxes from the frame to the model input."""
        return (boxes_in_image * self._scales() + self._offsets()).astype(np.float32, copy=False)

    def _scales(self) -> NDArray[np.float32]:
        return np.array([self.scale_x, self.scale_y] * 2, np.float32)

    def _offsets(self) -> NDArray[np.float32]:
        return np.array([self.offset_x_px, self.offset_y_px] * 2, np.float32)


def fit(image: NDArray[np.uint8], model_input: ModelInput) -> tuple[NDArray[np.uint8], Placement]:
    """Bring one frame to the model's input size.

    A frame that has that size already is returned as it is: the same array, no copy.

    Args:
        image: Pixels (H, W) uint8, Mono8. Borrowed: the result may share its memory.
        model_input: The bundle's input contract.
    Returns:
        Pixels (model_input.height, model_input.width) uint8, and the frame's place in them.
    Raises:
        ModelContractMismatch: The frame isn't (H, W) uint8, or its size differs and the contract says `exact`.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ModelContractMismatch(
            f"frame for the model: expected (height, width) uint8 (Mono8), got {image.shape} {image.dtype}"
        )
    height_px, width_px = image.shape
    if (height_px, width_px) == (model_input.height, model_input.width):
        return image, Placement(width_px, height_px)
    if model_input.fit == "exact" or 0 in image.shape:
        raise ModelContractMismatch(
            f"frame for the model: expected {model_input.width}x{model_input.height} px, "
            f"got {width_px}x{height_px}; set the camera's Width and Height, or use a model with fit = 'letterbox'"
        )
    return _letterbox(image, model_input)


def _letterbox(image: NDArray[np.uint8], model_input: ModelInput) -> tuple[NDArray[np.uint8], Placement]:
    height_px, width_px = image.shape
    scale = min(model_input.width / width_px, model_input.height / height_px)
    inner_width = max(1, round(width_px * scale))
    inner_height = max(1, round(height_px * scale))
    left, top = (model_input.width - inner_width) // 2, (model_input.height - inner_height) // 2
    shrinks = inner_width < width_px
    resized = cv2.resize(
        image, (inner_width, inner_height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    canvas = np.full((model_input.height, model_input.width), model_input.pad_value, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = resized
    return canvas, Placement(
        image_width_px=width_px,
        image_height_px=height_px,
        scale_x=inner_width / width_px,
        scale_y=inner_height / height_px,
        offset_x_px=float(left),
        offset_y_px=float(top),
    )
