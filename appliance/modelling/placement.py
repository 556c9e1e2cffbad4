"""How a frame lies inside a model's input, and the way back for boxes.

letterbox           as Ultralytics trains and predicts: one scale for both axes, the frame in the middle
letterbox_gain      the same, as Ultralytics did until 8.4.123: boxes go back by the scale, not by the rounded sides
letterbox_unrounded the same, as YOLOv5 and YOLOv7 do: neither scale nor border are rounded on the way back
letterbox_top_left  as YOLOX: one scale, the frame in the top-left corner
letterbox_floor     as libreyolo's YOLOv9 with centred frames: one scale, in the middle, rounded down
stretch             each axis has its own scale
exact               a frame of another size is refused

Resizing and rounding follow the libraries that train with them, to the pixel: a model is only as good as its input
is like the one it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from appliance.errors import ModelContractMismatch

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelInput

_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


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
        image: Pixels uint8 in the model's pixel format: (H, W) for Mono8, (H, W, 3) for RGB8 and BGR8. Borrowed: the
            result may share its memory.
        model_input: The bundle's input contract.
    Returns:
        Pixels of the model input's height and width, uint8, and the frame's place in them.
    Raises:
        ModelContractMismatch: Number of axes or dtype differ, or the size differs and the contract says `exact`.
    """
    _check(image, model_input)
    height_px, width_px = image.shape[:2]
    if (height_px, width_px) == (model_input.height, model_input.width):
        return image, Placement(width_px, height_px)
    if model_input.fit == "exact" or 0 in image.shape:
        raise ModelContractMismatch(
            f"frame for the model: expected {model_input.width}x{model_input.height} px, "
            f"got {width_px}x{height_px}; set the camera's Width and Height, or use a model with fit = 'letterbox'"
        )
    plan = _plan(width_px, height_px, model_input)
    inner = plan.size
    resized = image if inner == (width_px, height_px) else _resized(image, inner, model_input.resize)
    if inner == (model_input.width, model_input.height):
        return resized, plan.placement
    canvas = np.full((model_input.height, model_input.width, *image.shape[2:]), model_input.pad_value, np.uint8)
    left, top = plan.corner
    canvas[top : top + inner[1], left : left + inner[0]] = resized
    return canvas, plan.placement


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where a frame goes: its size in the model input, width first, its top-left corner, and the way back."""

    size: tuple[int, int]
    corner: tuple[int, int]
    placement: Placement


def _check(image: NDArray[np.uint8], model_input: ModelInput) -> None:
    is_grey = model_input.pixel_format == "Mono8"
    fits = image.ndim == 2 if is_grey else image.ndim == 3 and image.shape[2] == 3
    if not fits or image.dtype != np.uint8:
        shape = "(height, width)" if is_grey else "(height, width, 3)"
        raise ModelContractMismatch(
            f"frame for the model: expected {shape} uint8 ({model_input.pixel_format}), got {image.shape} {image.dtype}"
        )


def _plan(width_px: int, height_px: int, model_input: ModelInput) -> _Plan:
    width, height = model_input.width, model_input.height
    if model_input.fit == "stretch":
        place = Placement(width_px, height_px, width / width_px, height / height_px)
        return _Plan((width, height), (0, 0), place)
    gain = min(width / width_px, height / height_px)
    if model_input.fit in ("letterbox_top_left", "letterbox_floor"):
        # Source: Megvii YOLOX, yolox/data/data_augment.py, preproc; libreyolo, libreyolo/preprocess/letterbox.py
        inner = max(1, int(width_px * gain)), max(1, int(height_px * gain))
        in_the_middle = model_input.fit == "letterbox_floor"
        corner = ((width - inner[0]) // 2, (height - inner[1]) // 2) if in_the_middle else (0, 0)
        return _Plan(inner, corner, Placement(width_px, height_px, gain, gain, *map(float, corner)))
    # Source: Ultralytics, LetterBox, the same in all versions and in YOLOv5
    inner = max(1, round(width_px * gain)), max(1, round(height_px * gain))
    corner = max(0, round((width - inner[0]) / 2 - 0.1)), max(0, round((height - inner[1]) / 2 - 0.1))
    return _Plan(inner, corner, _way_back((width_px, height_px), inner, corner, gain, model_input))


def _way_back(
    frame: tuple[int, int], inner: tuple[int, int], corner: tuple[int, int], gain: float, model_input: ModelInput
) -> Placement:
    """Source: `scale_boxes` of Ultralytics 8.4.190, of Ultralytics 8.4.120, and of YOLOv5 7.0."""
    if model_input.fit == "letterbox_unrounded":
        border = (model_input.width - frame[0] * gain) / 2, (model_input.height - frame[1] * gain) / 2
        return Placement(*frame, gain, gain, *border)
    scales = (gain, gain) if model_input.fit == "letterbox_gain" else (inner[0] / frame[0], inner[1] / frame[1])
    return Placement(*frame, *scales, *map(float, corner))


def _resized(image: NDArray[np.uint8], size: tuple[int, int], how: str) -> NDArray[np.uint8]:
    if how == "antialiased":  # what torchvision and Hugging Face do to a PIL image; OpenCV has no equal
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=_INTERPOLATION[how]), np.uint8)
