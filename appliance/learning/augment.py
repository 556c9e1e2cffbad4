"""Variations of a part that keep its truth: healed defects, orientation, scale, light."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.part import Part

HEAL_MARGIN_PX = 4


def vary(part: Part, rng: np.random.Generator) -> Part:
    """Return a random variation of a part, or of a cutting of one, for training."""
    if part.clean_pixels is not None and rng.random() < 0.5:
        part = heal(part, rng.random(len(part.boxes)) < rng.uniform(0.2, 0.9))
    part = orient(part, int(rng.integers(8)))
    if rng.random() < 0.5:
        part = zoom(part, float(np.exp(rng.uniform(np.log(0.75), np.log(1.4)))), rng)
    if rng.random() < 0.4:
        part = replace(part, pixels=relight(part.pixels, rng))
    return part


def cut(part: Part, side_px: int, rng: np.random.Generator) -> Part:
    """Cut a square out of a part: mostly around one of its defects, else anywhere.

    A frame is nearly all background; cuttings let training spend its time where there is something to learn.
    """
    height, width = part.pixels.shape
    if part.is_ok or rng.random() < 0.15:
        left, top = rng.integers(width - side_px + 1), rng.integers(height - side_px + 1)
    else:
        x1, y1, x2, y2 = part.boxes[rng.integers(len(part.boxes))]
        left = np.clip((x1 + x2) / 2 - rng.uniform(0.15, 0.85) * side_px, 0, width - side_px)
        top = np.clip((y1 + y2) / 2 - rng.uniform(0.15, 0.85) * side_px, 0, height - side_px)
    x, y = int(left), int(top)
    window = np.s_[y : y + side_px, x : x + side_px]
    boxes, visible = _clipped(part.boxes - np.array([x, y, x, y], np.float32), side_px, side_px)
    return replace(
        part.with_boxes(boxes, visible),
        pixels=part.pixels[window],
        clean_pixels=None if part.clean_pixels is None else part.clean_pixels[window],
    )


def heal(part: Part, chosen: NDArray[np.bool_]) -> Part:
    """Replace the chosen defects by the clean board: same surroundings, now without a defect.

    A chosen defect whose patch would touch another one that stays is left as it is.
    """
    assert part.clean_pixels is not None
    pixels = part.pixels.copy()
    stays = ~chosen
    for index in np.flatnonzero(chosen):
        x1, y1, x2, y2 = part.boxes[index] + np.array([-1, -1, 1, 1], np.float32) * HEAL_MARGIN_PX
        others = part.boxes[stays]
        touches = (others[:, 0] < x2) & (others[:, 2] > x1) & (others[:, 1] < y2) & (others[:, 3] > y1)
        if touches.any():
            stays[index] = True
            continue
        window = np.s_[max(0, int(y1)) : int(y2), max(0, int(x1)) : int(x2)]
        pixels[window] = part.clean_pixels[window]
    return replace(part.with_boxes(part.boxes, stays), pixels=pixels)


def orient(part: Part, view: int) -> Part:
    """Return one of the eight flips and quarter turns; view 0 is the part itself."""
    pixels, boxes = part.pixels, part.boxes
    if view & 1:
        pixels = pixels[:, ::-1]
        width = pixels.shape[1]
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    if view & 2:
        pixels = pixels[::-1]
        height = pixels.shape[0]
        boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
    if view & 4:
        pixels = pixels.T
        boxes = boxes[:, [1, 0, 3, 2]]
    return replace(part, pixels=np.ascontiguousarray(pixels), boxes=boxes, size_px=None)


def zoom(part: Part, scale: float, rng: np.random.Generator) -> Part:
    """Scale about a random place, same frame size; a defect that is mostly cut off loses its box."""
    height, width = part.pixels.shape
    shift_x, shift_y = (
        rng.uniform(min(0.0, side * (1 - scale)), max(0.0, side * (1 - scale))) for side in (width, height)
    )
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]], np.float32)
    pixels = cv2.warpAffine(part.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=255)
    moved = part.boxes * np.float32(scale) + np.array([shift_x, shift_y] * 2, np.float32)
    boxes, visible = _clipped(moved, width, height)
    return replace(part.with_boxes(boxes, visible), pixels=np.asarray(pixels, np.uint8))


def relight(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change black level and gain, blur a little, add sensor noise."""
    black, white = rng.uniform(0, 50), rng.uniform(190, 255)
    table = np.linspace(black, white, 256).astype(np.uint8)
    varied = cv2.LUT(pixels, table)
    if rng.random() < 0.5:
        varied = cv2.GaussianBlur(varied, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.5:
        noise = np.empty(pixels.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, np.zeros(1), np.full(1, rng.uniform(2, 10)))
        varied = np.clip(varied + noise, 0, 255)
    return np.asarray(varied, np.uint8)


def _clipped(
    boxes: NDArray[np.float32], width_px: int, height_px: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Clip boxes to the frame; the second result says which are still half there."""
    clipped = np.clip(boxes, 0, np.array([width_px, height_px] * 2, np.float32))
    return clipped, _areas(clipped) >= 0.5 * _areas(boxes)


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
