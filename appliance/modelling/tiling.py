"""Frames much larger than the model's input: cut into overlapping tiles, found once where tiles meet.

Two tiles see the same pixels where they overlap. So two boxes of neighbouring tiles are the same defect when, cut to
that overlap, they are the same box; and a box that ends at its tile's inner border may be a piece of one that the
neighbour sees whole.

    tile A  |-----------------|          a: ends at A's border, a piece
    tile B             |-----------------|
    overlap            |======|
    defect        (------------)         b: begins at B's border, a piece; together they are one defect
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from appliance.config import Tiling
from appliance.errors import ModelContractMismatch
from appliance.modelling.bundle import ModelInput
from appliance.modelling.detections import Detections

SAME_IOU = 0.5
"""Boxes of two tiles, cut to what both see, that overlap at least so much are one defect."""
PIECE_SHARE = 0.6
"""The same for a piece at a border, as a share of the smaller box: a sliver is rarely found to the pixel."""
AT_BORDER_PX = 3.0
"""A box that comes this close to an inner border of its tile may be a piece."""


@dataclass(frozen=True)
class Tile:
    """A part of a frame: x1, y1, x2, y2 in px of the frame, x2/y2 exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give the tile's pixels; a view, no copy."""
        return image[self.y1 : self.y2, self.x1 : self.x2]


def plan_tiles(width_px: int, height_px: int, tile_width_px: int, tile_height_px: int, overlap_px: int) -> list[Tile]:
    """Cover a frame with tiles of one size that overlap by at least `overlap_px`, spread evenly.

    Args:
        overlap_px: Smaller than the tile's sides. A defect of at most this size lies whole in some tile.
    Returns:
        Row by row; one tile where the frame is no larger than a tile.
    Raises:
        ValueError: The overlap leaves no step.
    """
    if not 0 <= overlap_px < min(tile_width_px, tile_height_px):
        raise ValueError(
            f"overlap of tiles: expected 0 to {min(tile_width_px, tile_height_px) - 1} px, got {overlap_px}"
        )
    xs = _starts(width_px, tile_width_px, overlap_px)
    ys = _starts(height_px, tile_height_px, overlap_px)
    return [Tile(x, y, min(x + tile_width_px, width_px), min(y + tile_height_px, height_px)) for y in ys for x in xs]


def tiles_of(width_px: int, height_px: int, model_input: ModelInput, tiling: Tiling) -> list[Tile]:
    """Plan the tiles of a frame as a recipe asks for them; see `plan_tiles`.

    Raises:
        ModelContractMismatch: The overlap is as large as a tile.
    """
    size = tiling.width_px or model_input.width, tiling.height_px or model_input.height
    try:
        return plan_tiles(width_px, height_px, *size, tiling.overlap_px)
    except ValueError as error:
        raise ModelContractMismatch(
            f"tiling of {size[0]}x{size[1]} px: {error}; correct [tiling] of the recipe"
        ) from None


def _starts(length_px: int, tile_px: int, overlap_px: int) -> list[int]:
    if length_px <= tile_px:
        return [0]
    count = -(-(length_px - overlap_px) // (tile_px - overlap_px))  # rounded up
    return [round(number * (length_px - tile_px) / (count - 1)) for number in range(count)]


def merge(tiles: Sequence[Tile], found: Sequence[Detections], max_detections: int = 100) -> Detections:
    """Bring the detections of all tiles to the frame; what several tiles saw is one detection.

    Args:
        found: One item for each tile, boxes in px of the tile.
    Returns:
        Boxes in px of the frame. A merged one has the best score of its pieces, and the box and class of the best one
        that saw it whole; where none did, the box around all pieces and the class of the best one.
    """
    if len(tiles) == 1 and (tiles[0].x1, tiles[0].y1) == (0, 0):
        return found[0]  # a frame that wasn't cut, as most: nothing to move or to compare
    whole = _in_frame(tiles, found)
    scores = [one.image_score for one in found if one.image_score is not None]
    image_score = max(scores) if scores else None
    if len(tiles) == 1 or not len(whole.detections):
        return replace(whole.detections, image_score=image_score)
    merged = [_one_of(whole, group) for group in _groups(tiles, whole)]
    merged.sort(key=lambda row: -row[1])
    rows = merged[:max_detections]
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([class_id for _, _, class_id in rows], np.int64),
        image_score,
    )


@dataclass(frozen=True)
class _Candidates:
    """All tiles' detections in px of the frame; the tile each came from, and whether it may be a piece."""

    detections: Detections
    tile_ids: NDArray[np.int64]
    is_piece: NDArray[np.bool_]


def _in_frame(tiles: Sequence[Tile], found: Sequence[Detections]) -> _Candidates:
    width_px, height_px = max(tile.x2 for tile in tiles), max(tile.y2 for tile in tiles)
    boxes, pieces, tile_ids = [], [], []
    for number, (tile, one) in enumerate(zip(tiles, found, strict=True)):
        in_frame = one.boxes_in_image + np.array([tile.x1, tile.y1] * 2, np.float32)
        boxes.append(in_frame)
        pieces.append(_touches(in_frame, tile, width_px, height_px))
        tile_ids.append(np.full(len(one), number, np.int64))
    return _Candidates(
        Detections(
            np.concatenate(boxes).astype(np.float32),
            np.concatenate([one.scores for one in found]),
            np.concatenate([one.class_ids for one in found]),
        ),
        np.concatenate(tile_ids),
        np.concatenate(pieces),
    )


def _touches(boxes: NDArray[np.float32], tile: Tile, width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Whether boxes end at a border of their tile that isn't the frame's own."""
    touches = np.zeros(len(boxes), np.bool_)
    if tile.x1 > 0:
        touches |= boxes[:, 0] <= tile.x1 + AT_BORDER_PX
    if tile.y1 > 0:
        touches |= boxes[:, 1] <= tile.y1 + AT_BORDER_PX
    if tile.x2 < width_px:
        touches |= boxes[:, 2] >= tile.x2 - AT_BORDER_PX
    if tile.y2 < height_px:
        touches |= boxes[:, 3] >= tile.y2 - AT_BORDER_PX
    return touches


def _groups(tiles: Sequence[Tile], candidates: _Candidates) -> list[list[int]]:
    """Put together what is one defect: connected by `_is_same`, never by boxes of one tile alone."""
    leader = list(range(len(candidates.tile_ids)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for first in range(len(leader)):
        for second in range(first + 1, len(leader)):
            if candidates.tile_ids[first] != candidates.tile_ids[second] and _is_same(tiles, candidates, first, second):
                leader[find(second)] = find(first)
    groups: dict[int, list[int]] = {}
    for index in range(len(leader)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _is_same(tiles: Sequence[Tile], candidates: _Candidates, first: int, second: int) -> bool:
    """Whether two tiles' boxes agree where both tiles look; of different classes only if one may be a piece."""
    has_piece = bool(candidates.is_piece[first] or candidates.is_piece[second])
    class_ids = candidates.detections.class_ids
    if class_ids[first] != class_ids[second] and not has_piece:
        return False
    a, b = tiles[candidates.tile_ids[first]], tiles[candidates.tile_ids[second]]
    shared = (max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2))
    one, other = (_cut(candidates.detections.boxes_in_image[index], shared) for index in (first, second))
    if not (_area(one) and _area(other)):
        return False
    both = _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    if both >= SAME_IOU * (_area(one) + _area(other) - both):
        return True
    return has_piece and both >= PIECE_SHARE * min(_area(one), _area(other))


_Box = tuple[float, float, float, float]


def _cut(box: NDArray[np.float32], shared: _Box) -> _Box:
    x1, y1, x2, y2 = box.tolist()
    return max(x1, shared[0]), max(y1, shared[1]), min(x2, shared[2]), min(y2, shared[3])


def _area(box: _Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _one_of(candidates: _Candidates, group: list[int]) -> tuple[NDArray[np.float32], float, int]:
    """Make one detection of a group: box, score, class."""
    detections = candidates.detections
    by_score = sorted(group, key=lambda index: -detections.scores[index])
    score = float(detections.scores[by_score[0]])
    seen_whole = [index for index in by_score if not candidates.is_piece[index]]
    if seen_whole:
        best = seen_whole[0]
        return detections.boxes_in_image[best], score, int(detections.class_ids[best])
    boxes = detections.boxes_in_image[group]
    around = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return around, score, int(detections.class_ids[by_score[0]])
