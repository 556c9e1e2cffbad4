"""Variations of a part that keep its truth: healed and drawn defects, orientation, scale, light, the negative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.boards import draw_defect
from appliance.learning.datasets.orientation import turned
from appliance.learning.training.part import Part
from appliance.learning.training.plan import Plan

HEAL_MARGIN_PX = 4
PLACES_TO_CUT = 3


def vary(part: Part, plan: Plan, rng: np.random.Generator) -> Part:
    """Return a random variation of a part, or of a cutting of one, for training."""
    how = plan.variation
    if part.clean_pixels is not None and rng.random() < how.heal_share:
        part = heal(part, rng.random(len(part.boxes)) < rng.uniform(0.2, 0.9))
    part = orient(part, _view(part, plan, rng), lean_px=how.lean_px)
    if rng.random() < how.zoom_share:
        scale = float(np.exp(rng.uniform(np.log(how.least_zoom), np.log(how.most_zoom))))
        part = zoom(part, scale, rng, pad_value=plan.pad_value)
    if rng.random() < how.marked_share:
        part = mark(part, int(rng.integers(1, how.most_marks + 1)), plan.class_names, rng)
    if rng.random() < how.negative_share:
        part = negative(part, how.negative_classes)
    if rng.random() < how.light_share:
        part = replace(part, pixels=relight(part.pixels, rng))
    return part


def cut(part: Part, side_px: int, rng: np.random.Generator) -> Part:
    """Cut a square out of a part: mostly around one of its defects, or of its lures if it is good; else anywhere.

    A frame is nearly all background; cuttings let training spend its time where there is something to learn.
    """
    targets = part.lures if part.is_ok else part.boxes
    if len(targets) and rng.random() >= 0.15:
        x, y = _around(targets[rng.integers(len(targets))], part, side_px, rng)
    else:
        x, y = _busiest(part.pixels, side_px, rng)
    window = np.s_[y : y + side_px, x : x + side_px]
    boxes, visible = _clipped(part.boxes - np.array([x, y, x, y], np.float32), side_px, side_px)
    return replace(
        part.with_boxes(boxes, visible),
        pixels=part.pixels[window],
        clean_pixels=None if part.clean_pixels is None else part.clean_pixels[window],
    )


def _around(box: NDArray[np.float32], part: Part, side_px: int, rng: np.random.Generator) -> tuple[int, int]:
    """Place a square so that the middle of a box lies somewhere in it."""
    height, width = part.pixels.shape
    x1, y1, x2, y2 = box
    left = np.clip((x1 + x2) / 2 - rng.uniform(0.15, 0.85) * side_px, 0, width - side_px)
    top = np.clip((y1 + y2) / 2 - rng.uniform(0.15, 0.85) * side_px, 0, height - side_px)
    return int(left), int(top)


def _busiest(pixels: NDArray[np.uint8], side_px: int, rng: np.random.Generator) -> tuple[int, int]:
    """Choose the most structured of a few places: what is good and looks like a defect lies at edges mostly."""
    height, width = pixels.shape
    places = [
        (int(rng.integers(width - side_px + 1)), int(rng.integers(height - side_px + 1))) for _ in range(PLACES_TO_CUT)
    ]
    return max(places, key=lambda at: float(pixels[at[1] : at[1] + side_px : 4, at[0] : at[0] + side_px : 4].std()))


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


def orient(part: Part, view: int, *, lean_px: float = 0.0) -> Part:
    """Return one of the eight orientations, as `turned`; view 0 is the part itself."""
    pixels, boxes = turned(part.pixels, part.boxes, view, lean_px=lean_px)
    return replace(part, pixels=pixels, boxes=boxes, size_px=None)


def zoom(part: Part, scale: float, rng: np.random.Generator, *, pad_value: int = 255) -> Part:
    """Scale about a random place, same frame size; a defect that is mostly cut off loses its box."""
    height, width = part.pixels.shape
    shift_x, shift_y = (
        rng.uniform(min(0.0, side * (1 - scale)), max(0.0, side * (1 - scale))) for side in (width, height)
    )
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]], np.float32)
    pixels = cv2.warpAffine(part.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=pad_value)
    moved = part.boxes * np.float32(scale) + np.array([shift_x, shift_y] * 2, np.float32)
    boxes, visible = _clipped(moved, width, height)
    return replace(part.with_boxes(boxes, visible), pixels=np.asarray(pixels, np.uint8))


def mark(part: Part, most: int, class_names: Sequence[str], rng: np.random.Generator) -> Part:
    """Draw up to `most` further defects on a binarised board, clear of those that it has."""
    pixels, boxes, class_ids = part.pixels, part.boxes, list(part.class_ids)
    for _ in range(2 * most):
        drawn = draw_defect(pixels, boxes, rng)
        if drawn is not None and drawn.class_name in class_names:
            pixels, boxes = drawn.pixels, np.concatenate([boxes, drawn.box[None]])
            class_ids.append(class_names.index(drawn.class_name))
        if len(boxes) - len(part.boxes) == most:
            break
    ignored = np.concatenate([part.is_ignored, np.zeros(len(boxes) - len(part.boxes), np.bool_)])
    ids = np.array(class_ids, np.int64)
    return replace(part, pixels=pixels, boxes=boxes, class_ids=ids, is_ignored=ignored, places=())


def negative(part: Part, classes: Sequence[int]) -> Part:
    """Invert a picture. `classes` says what each class is then: missing copper becomes copper too much."""
    return replace(part, pixels=255 - part.pixels, class_ids=np.array(classes, np.int64)[part.class_ids])


def mosaic(parts: Sequence[Part], rng: np.random.Generator) -> Part:
    """Put four parts of one size together and cut a picture of that size from around the middle."""
    height, width = parts[0].pixels.shape
    pixels = np.vstack([np.hstack([parts[0].pixels, parts[1].pixels]), np.hstack([parts[2].pixels, parts[3].pixels])])
    shifts = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)
    boxes = np.concatenate([part.boxes + np.tile(shift, 2) for part, shift in zip(parts, shifts, strict=True)])
    x, y = int(rng.integers(width // 4, 3 * width // 4 + 1)), int(rng.integers(height // 4, 3 * height // 4 + 1))
    boxes, visible = _clipped(boxes - np.array([x, y, x, y], np.float32), width, height)
    whole = replace(
        parts[0],
        pixels=np.ascontiguousarray(pixels[y : y + height, x : x + width]),
        clean_pixels=None,
        class_ids=np.concatenate([part.class_ids for part in parts]),
        is_ignored=np.concatenate([part.is_ignored for part in parts]),
    )
    return whole.with_boxes(boxes, visible)


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


def _view(part: Part, plan: Plan, rng: np.random.Generator) -> int:
    """Choose one of the allowed orientations; a frame that isn't square isn't turned."""
    view = int(rng.integers(4)) if plan.variation.flips else 0
    is_square = part.pixels.shape[0] == part.pixels.shape[1]
    return view + 4 * int(plan.variation.turns and is_square and rng.random() < 0.5)


def _clipped(
    boxes: NDArray[np.float32], width_px: int, height_px: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Clip boxes to the frame; the second result says which are still half there."""
    clipped = np.clip(boxes, 0, np.array([width_px, height_px] * 2, np.float32))
    return clipped, _areas(clipped) >= 0.5 * _areas(boxes)


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
