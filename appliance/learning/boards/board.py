"""A clean board as a binarised line scan shows it: copper is black (0), the gaps are white (255)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
COPPER, GAP = 0, 255
_EIGHTHS = np.pi / 4


def draw_board(side_px: int, rng: np.random.Generator) -> Image:
    """Draw a board without defects: (side_px, side_px) uint8, 0 or 255."""
    image = np.full((side_px, side_px), GAP, np.uint8)
    if rng.random() < 0.3:
        _pours(image, rng)
    weights = rng.dirichlet(np.full(len(_ELEMENTS), 0.5))
    for _ in range(int(rng.integers(2, 9))):
        _ELEMENTS[int(rng.choice(len(_ELEMENTS), p=weights))](image, rng)
    if rng.random() < 0.25:
        image = 255 - image
    return _roughened(_turned(image, rng), rng)


def _pours(image: Image, rng: np.random.Generator) -> None:
    """Large copper areas with clearances, slots and holes in them."""
    side = image.shape[0]
    if rng.random() < 0.4:
        image[:] = COPPER
    for _ in range(int(rng.integers(1, 4))):
        cv2.fillPoly(image, [_chamfered(side, rng)], COPPER)
    for _ in range(int(rng.integers(0, 5))):
        path = _path(side, rng, steps=int(rng.integers(2, 7)))
        cv2.polylines(image, [path], isClosed=False, color=GAP, thickness=int(rng.integers(4, 26)))
    _holes(image, rng)


def _traces(image: Image, rng: np.random.Generator) -> None:
    """Single traces that end in pads."""
    width = _odd_width(rng)
    for _ in range(int(rng.integers(1, 6))):
        path = _path(image.shape[0], rng, steps=int(rng.integers(2, 6)))
        cv2.polylines(image, [path], isClosed=False, color=COPPER, thickness=width)
        for end in (path[0], path[-1]):
            if rng.random() < 0.6:
                _pad(image, end, int(width * rng.uniform(0.8, 2.5)) + 5, rng)


def _bundle(image: Image, rng: np.random.Generator) -> None:
    """Parallel traces: one path drawn with ever thinner strokes, copper and gap in turn."""
    path = _path(image.shape[0], rng, steps=int(rng.integers(2, 7)))
    copper, gap = int(rng.integers(3, 20)), int(rng.integers(4, 18))
    lines = int(rng.integers(2, 9))
    thickness, is_copper = lines * copper + (lines - 1) * gap, True
    while thickness > 0:
        cv2.polylines(image, [path], isClosed=False, color=COPPER if is_copper else GAP, thickness=thickness)
        thickness -= 2 * (copper if is_copper else gap)
        is_copper = not is_copper


def _pads(image: Image, rng: np.random.Generator) -> None:
    """Rows of equal pads, with holes or without."""
    size, columns, rows = int(rng.integers(6, 34)), int(rng.integers(1, 9)), int(rng.integers(1, 4))
    pitch = size * rng.uniform(1.6, 4.0)
    origin = rng.uniform(-0.2, 1.0, 2) * image.shape[0]
    seed = int(rng.integers(2**31))
    for row in range(rows):
        for column in range(columns):
            _pad(image, origin + pitch * np.array([column, row]), size, np.random.default_rng(seed))


def _pad(image: Image, centre: NDArray[np.float64], size_px: int, rng: np.random.Generator) -> None:
    x, y = (int(value) for value in centre)
    kind = rng.random()
    if kind < 0.35:
        cv2.circle(image, (x, y), size_px, COPPER, -1)
    elif kind < 0.7:
        half_width, half_height = int(size_px * rng.uniform(0.5, 1.5)), int(size_px * rng.uniform(0.5, 1.5))
        cv2.rectangle(image, (x - half_width, y - half_height), (x + half_width, y + half_height), COPPER, -1)
    else:
        reach = (rng.uniform(-1, 1, 2) * 1.5 * size_px).astype(int)
        cv2.line(image, (x, y), (x + int(reach[0]), y + int(reach[1])), COPPER, max(2, int(1.5 * size_px)))
    if rng.random() < 0.4:
        cv2.circle(image, (x, y), max(3, int(size_px * rng.uniform(0.2, 0.6))), GAP, -1)


def _holes(image: Image, rng: np.random.Generator) -> None:
    """Round holes: normal ones are regular, which is what tells them from pin-holes."""
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 5))):
        centre = (int(rng.integers(side)), int(rng.integers(side)))
        radius = int(rng.integers(5, 60) if rng.random() < 0.4 else rng.integers(4, 16))
        cv2.circle(image, centre, radius, GAP, -1)
        if rng.random() < 0.3:
            cv2.circle(image, centre, int(radius * rng.uniform(0.3, 0.7)), COPPER, -1)


def _rings(image: Image, rng: np.random.Generator) -> None:
    """Vias with their annular rings, and large arcs."""
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 5))):
        centre = (int(rng.integers(side)), int(rng.integers(side)))
        radius = int(rng.integers(8, 40) if rng.random() < 0.7 else rng.integers(40, side))
        cv2.circle(image, centre, radius, COPPER, int(rng.integers(4, 24)))


def _dots(image: Image, rng: np.random.Generator) -> None:
    """Lone round marks: small regular copper that is meant to be there."""
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 5))):
        centre = (int(rng.integers(side)), int(rng.integers(side)))
        cv2.circle(image, centre, int(rng.integers(6, 30)), COPPER, -1)


def _letters(image: Image, rng: np.random.Generator) -> None:
    text = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUVXY0123456789+-"), int(rng.integers(1, 6))))
    origin = (int(rng.integers(image.shape[1])), int(rng.integers(image.shape[0])))
    thickness = int(rng.integers(2, 7))
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(1.0, 3.0), COPPER, thickness)


def _polygons(image: Image, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 3))):
        cv2.fillPoly(image, [_chamfered(image.shape[0], rng)], COPPER)


_ELEMENTS: tuple[Callable[[Image, np.random.Generator], None], ...] = (
    _traces, _bundle, _pads, _holes, _rings, _dots, _letters, _polygons, _pours,
)  # fmt: skip


def _path(side_px: int, rng: np.random.Generator, steps: int) -> NDArray[np.int32]:
    """Return (steps + 1, 2) points of a walk that turns by 45 or 90 degrees, as traces do."""
    point = rng.uniform(-0.1, 1.1, 2) * side_px
    heading = rng.integers(8) * _EIGHTHS
    points = [point]
    for _ in range(steps):
        point = point + rng.uniform(0.08, 0.6) * side_px * np.array([np.cos(heading), np.sin(heading)])
        points.append(point)
        heading += rng.choice([-2, -1, 1, 2]) * _EIGHTHS
    return np.array(points).round().astype(np.int32)


def _chamfered(side_px: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return a rectangle with cut corners as (8, 2) points."""
    low = rng.uniform(-0.2, 0.8, 2) * side_px
    high = low + rng.uniform(0.08, 0.7, 2) * side_px
    cut = rng.uniform(0.0, 0.3) * float((high - low).min())
    (x1, y1), (x2, y2) = low, high
    corners = [(x1 + cut, y1), (x2 - cut, y1), (x2, y1 + cut), (x2, y2 - cut)]
    corners += [(x2 - cut, y2), (x1 + cut, y2), (x1, y2 - cut), (x1, y1 + cut)]
    return np.array(corners).round().astype(np.int32)


def _odd_width(rng: np.random.Generator) -> int:
    return int(np.exp(rng.uniform(np.log(3), np.log(40))))


def _turned(image: Image, rng: np.random.Generator) -> Image:
    """Most boards lie along the axes; some don't."""
    if rng.random() < 0.8:
        return image
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-45, 45), rng.uniform(1.0, 1.45))
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.uint8)


def _roughened(image: Image, rng: np.random.Generator) -> Image:
    """Etched edges aren't straight: blur, add smooth noise, cut at the middle again."""
    grains = np.empty(image.shape, np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(grains, np.zeros(1), np.full(1, 1.0))
    noise = np.asarray(cv2.GaussianBlur(grains, (0, 0), rng.uniform(0.8, 2.5)), np.float32)
    noise *= rng.uniform(5, 30) / max(float(noise.std()), 1e-6)
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.0)).astype(np.float32)
    return np.where(soft + noise > 127, GAP, COPPER).astype(np.uint8)
