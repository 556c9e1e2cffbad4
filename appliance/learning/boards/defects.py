"""Defects drawn onto a binarised board. The class isn't chosen: connectivity says what a stroke has done.

A white stroke takes copper away: inside it is a pin-hole, at an edge a mouse bite, across a trace an open. A black
one adds copper: alone it is spurious copper, at an edge a spur, between two traces a short. In the negative
of the picture each of the first three is one of the last three, so one rule serves both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
_TAKEN = {"inside": "pin-hole", "edge": "mousebite", "through": "open"}
_ADDED = {"inside": "copper", "edge": "spur", "through": "short"}
_AROUND_PX = 14  # what counts as the neighbourhood in which a stroke separates something
_LEAST_PX = 14  # changed pixels; fewer aren't a defect that anybody would label
_MOST_PX = 2500
# DeepPCB's boxes reach this far beyond what differs from the clean board (median of 267 defects, all classes alike).
MARGIN_LOW_PX, MARGIN_HIGH_PX = 11, 8


@dataclass(frozen=True)
class DrawnDefect:
    """One drawn defect.

    Attributes:
        pixels: (H, W) uint8, the board with it.
        box: (4,) float32 xyxy px, as loose around what changed as DeepPCB's are.
        class_name: What it is.
    """

    pixels: Image
    box: NDArray[np.float32]
    class_name: str


def draw_defect(board: Image, taken: NDArray[np.float32], rng: np.random.Generator) -> DrawnDefect | None:
    """Draw one defect at a random place.

    Args:
        board: (H, W) uint8, dark copper on bright gaps; it isn't changed.
        taken: (K, 4) xyxy px where nothing may be drawn.
    Returns:
        None where the stroke did nothing that has a name, or met one of `taken`.
    """
    removes = rng.random() < 0.5
    body = ((board < 128) if removes else (board >= 128)).astype(np.uint8)
    stroke = _stroke(body, rng)
    if stroke is None:
        return None
    changed = stroke & body
    if not _LEAST_PX <= int(changed.sum()) <= _MOST_PX:
        return None
    box = _box(changed)
    if _meets(box, taken):
        return None
    effect = _effect(body, changed)
    if effect is None:
        return None
    pixels = board.copy()
    pixels[changed.astype(bool)] = 255 if removes else 0
    return DrawnDefect(pixels, box, (_TAKEN if removes else _ADDED)[effect])


def _stroke(body: Mask, rng: np.random.Generator) -> Mask | None:
    """Draw as a hand would: a line across, something at an edge, something inside, somewhere sensible."""
    height, width = body.shape
    depth = np.asarray(cv2.distanceTransform(body, cv2.DIST_L2, 3), np.float32)
    kind = rng.random()
    wanted = (1.0, 2.5) if kind < 0.35 else (2.0, 22.0) if kind < 0.7 else (9.0, 1e6)
    ys, xs = np.nonzero((depth >= wanted[0]) & (depth <= wanted[1]))
    if not len(xs):
        return None
    place = int(rng.integers(len(xs)))
    start = np.array([xs[place], ys[place]], np.float64)
    canvas = np.zeros((height, width), np.uint8)
    if 0.35 <= kind < 0.7 and rng.random() < 0.85:
        _across(canvas, depth, start, rng)
    elif kind < 0.35 and rng.random() < 0.3:
        _along(canvas, depth, start, rng)
    else:
        by_hand = (_squiggle, _blob, _spray, _scribble, _arc)
        by_hand[int(rng.choice(len(by_hand), p=(0.36, 0.28, 0.1, 0.14, 0.12)))](canvas, start, rng)
    return canvas


def _away_from_edge(depth: NDArray[np.float32], start: NDArray[np.float64]) -> float:
    """Return the heading, in radians, in which it gets deeper."""
    x, y = int(start[0]), int(start[1])
    window = depth[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    slopes = np.gradient(window) if min(window.shape) > 1 else [np.zeros((1, 1))] * 2
    return float(np.arctan2(slopes[0].mean(), slopes[1].mean()))


def _directions(heading: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit vectors along a heading and to its side."""
    return np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])


def _across(canvas: Mask, depth: NDArray[np.float32], start: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Lines through the nearest edge and out on the other side, one or a hatching of several."""
    heading = _away_from_edge(depth, start) + rng.normal(0, 0.35)
    way, across = _directions(heading)
    reach = 2.2 * float(depth[int(start[1]), int(start[0])]) + rng.uniform(2, 7)
    lines = 1 if rng.random() < 0.75 else int(rng.integers(2, 6))
    thickness = int(rng.integers(2, 9)) if lines == 1 else int(rng.integers(1, 4))
    for number in range(lines):
        aside = across * number * rng.uniform(2, 5)
        bend = rng.normal(0, 2.5, 2)
        points = np.array([start + aside - way * reach, start + aside + bend, start + aside + way * reach])
        cv2.polylines(canvas, [points.round().astype(np.int32)], False, 1, thickness)


def _along(canvas: Mask, depth: NDArray[np.float32], start: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Follow the edge: a long flat bump or dent, smooth or frayed."""
    heading = _away_from_edge(depth, start) + np.pi / 2
    way, across = _directions(heading)
    reach, rough = rng.uniform(8, 30), rng.uniform(0, 2.5)
    steps = np.linspace(-reach, reach, int(rng.integers(4, 12)))
    points = start + steps[:, None] * way + rng.normal(0, rough, (len(steps), 1)) * across
    cv2.polylines(canvas, [points.round().astype(np.int32)], False, 1, int(rng.integers(3, 13)))


def _scribble(canvas: Mask, start: NDArray[np.float64], rng: np.random.Generator) -> None:
    """A thin pen going to and fro, with dots where it stops."""
    heading = rng.uniform(0, 2 * np.pi)
    way, across = _directions(heading)
    count, swing, advance = int(rng.integers(4, 22)), rng.uniform(0, 7), rng.uniform(1.0, 4.5)
    sides = rng.normal(0, 1, count) if rng.random() < 0.5 else (-1.0) ** np.arange(count) * rng.uniform(0.5, 1.2, count)
    points = start + (np.arange(count) - count / 2)[:, None] * advance * way + swing * sides[:, None] * across
    points = points.round().astype(np.int32)
    if rng.random() < 0.8:
        cv2.polylines(canvas, [points], False, 1, int(rng.integers(1, 3)))
    radius = int(rng.integers(1, 3))
    for x, y in points:
        cv2.circle(canvas, (int(x), int(y)), radius, 1, -1)


def _arc(canvas: Mask, start: NDArray[np.float64], rng: np.random.Generator) -> None:
    """A thin crescent: at an edge it cuts a piece off."""
    radii = (int(rng.integers(5, 18)), int(rng.integers(5, 18)))
    begin = rng.uniform(0, 360)
    span = rng.uniform(90, 300)
    aside = rng.normal(0, 5, 2)
    centre = (int(start[0] + aside[0]), int(start[1] + aside[1]))
    cv2.ellipse(canvas, centre, radii, rng.uniform(0, 180), begin, begin + span, 1, int(rng.integers(2, 6)))


def _squiggle(canvas: Mask, start: NDArray[np.float64], rng: np.random.Generator) -> None:
    points, heading = [start], rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 5))):
        points.append(points[-1] + rng.uniform(3, 11) * np.array([np.cos(heading), np.sin(heading)]))
        heading += rng.normal(0, 0.9)
    cv2.polylines(canvas, [np.array(points).round().astype(np.int32)], False, 1, int(rng.integers(2, 9)))


def _blob(canvas: Mask, start: NDArray[np.float64], rng: np.random.Generator) -> None:
    axes = (int(rng.integers(2, 10)), int(rng.integers(2, 10)))
    centre = (int(start[0]), int(start[1]))
    cv2.ellipse(canvas, centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
    if rng.random() < 0.4:
        shift = rng.normal(0, 5, 2)
        second = (int(start[0] + shift[0]), int(start[1] + shift[1]))
        cv2.circle(canvas, second, int(rng.integers(2, 7)), 1, -1)


def _spray(canvas: Mask, start: NDArray[np.float64], rng: np.random.Generator) -> None:
    for x, y in start + rng.normal(0, rng.uniform(2.5, 5.0), (int(rng.integers(6, 22)), 2)):
        cv2.circle(canvas, (int(x), int(y)), int(rng.integers(0, 3)), 1, -1)


def _effect(body: Mask, changed: Mask) -> str | None:
    """Say what taking `changed` away from `body` does to it: `inside`, `edge`, `through`; None if it is unclear."""
    ys, xs = np.nonzero(changed)
    window = np.s_[
        max(0, ys.min() - _AROUND_PX) : ys.max() + _AROUND_PX + 1,
        max(0, xs.min() - _AROUND_PX) : xs.max() + _AROUND_PX + 1,
    ]
    before, gone = body[window], changed[window]
    around = np.asarray(cv2.dilate(gone, np.ones((3, 3), np.uint8)), np.uint8)
    if not (around & (1 - before)).any():
        return "inside" if _touching_parts(gone) <= 1 or gone.sum() > 40 else None
    pieces_before, pieces_after = _pieces(before), _pieces(before & (1 - gone))
    if pieces_before == 0 or pieces_after < pieces_before:
        return None  # a whole small piece is gone: nobody labels that as one of these
    return "through" if pieces_after > pieces_before else "edge"


def _pieces(mask: Mask) -> int:
    """Count the connected pieces that are more than crumbs."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return int((stats[1:count, cv2.CC_STAT_AREA] >= 12).sum())


def _touching_parts(mask: Mask) -> int:
    return int(cv2.connectedComponents(cv2.dilate(mask, np.ones((5, 5), np.uint8)))[0]) - 1


def _box(changed: Mask) -> NDArray[np.float32]:
    ys, xs = np.nonzero(changed)
    height, width = changed.shape
    low, high = MARGIN_LOW_PX, MARGIN_HIGH_PX
    box = np.array([xs.min() - low, ys.min() - low, xs.max() + 1 + high, ys.max() + 1 + high])
    clipped: NDArray[np.float32] = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
    return clipped


def _meets(box: NDArray[np.float32], taken: NDArray[np.float32]) -> bool:
    apart = (taken[:, 0] >= box[2]) | (taken[:, 2] <= box[0]) | (taken[:, 1] >= box[3]) | (taken[:, 3] <= box[1])
    return bool((~apart).any())
