"""What a trial run gives away about a dense head: grid, notation of the boxes, meaning of the other columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families import evidence
from appliance.modelling.families.arrangement import Layout
from appliance.modelling.families.candidates import BoxForm
from appliance.modelling.families.grid import cell_table, grid_sizes

if TYPE_CHECKING:
    from appliance.modelling.importer.facts import GraphFacts

STRIDES = ((8, 16, 32), (16, 32), (4, 8, 16, 32), (8, 16, 32, 64), (8, 16), (4, 8, 16), (32,), (16,), (8,))
ANCHORS_PER_CELL = (1, 3, 2, 5)
_FOLLOWS_THE_GRID = 0.8
"""Correlation of finished box centres with the cells they come from; raw numbers stay below 0.5."""
_ROUNDING = 2e-3  # of half precision and INT8 beyond 0..1

_NORMALISED_STEP = 0.1  # px of a box for a px of the picture; normalised boxes move by 1 / width
_FORMS: dict[tuple[str, str], BoxForm] = {
    ("xyxy", "px"): "xyxy_px",
    ("xyxy", "normalised"): "xyxy_normalised",
    ("cxcywh", "px"): "cxcywh_px",
    ("cxcywh", "normalised"): "cxcywh_normalised",
}

Values = Literal["shares", "logits", "mixed"]


@dataclass(frozen=True, slots=True)
class DenseList:
    """One output that lists the candidates of all cells.

    Attributes:
        output: Its name.
        layout: Which axis counts them.
        per_cell, strides: The grid that gives this number; 0 and () where none does.
        rows: (A, row) float32, what the trial gave for one picture.
        boxes: Notation of the first four columns; None: raw numbers.
        values: What the columns from the fifth on are: all within 0..1, all before the sigmoid, or of both kinds.
    """

    output: str
    layout: Layout
    per_cell: int
    strides: tuple[int, ...]
    rows: NDArray[np.float32]
    boxes: BoxForm | None
    values: Values

    @property
    def row(self) -> int:
        """Values of a candidate."""
        return int(self.rows.shape[1])

    def has_objectness(self, class_count: int | None) -> bool | None:
        """Whether the fifth column is an objectness; None where the number of classes doesn't tell."""
        return {self.row - 4: False, self.row - 5: True}.get(class_count if class_count is not None else -1)

    def described(self) -> str:
        """One half sentence for people."""
        size = f"{len(self.rows)} x {self.row}" if self.layout == "anchors_first" else f"{self.row} x {len(self.rows)}"
        grid = (
            f"{self.per_cell} a cell of strides {'/'.join(map(str, self.strides))}" if self.strides else "no known grid"
        )
        boxes = self.boxes or "raw numbers"
        return f"output {self.output} {size}: {grid}, boxes {boxes}, {self.values} from the fifth column on"


def dense_lists(facts: GraphFacts) -> list[DenseList]:
    """Every output that may be a list of candidates, in the file's order."""
    found = []
    for output, array in zip(facts.outputs, facts.trial, strict=True):
        if array.ndim == 3 and min(array.shape[1:]) >= 5 and array.dtype.kind == "f":
            found.append(_dense_list(output.name, np.asarray(array[0], np.float32), facts))
    return found


def _dense_list(name: str, array: NDArray[np.float32], facts: GraphFacts) -> DenseList:
    height_px, width_px = facts.input_height, facts.input_width
    axes: tuple[Layout, Layout] = ("anchors_first", "anchors_last")
    if array.shape[1] > array.shape[0]:
        axes = ("anchors_last", "anchors_first")
    for layout in axes:
        rows = array if layout == "anchors_first" else array.T
        for per_cell, strides in _grids(len(rows), height_px, width_px):
            boxes = _box_form(rows, per_cell, strides, height_px, width_px)
            return DenseList(name, layout, per_cell, strides, rows, boxes, kind_of_values(rows))
    rows = array if axes[0] == "anchors_first" else array.T
    return DenseList(name, axes[0], 0, (), rows, evidence.box_form(rows[:, :4]), kind_of_values(rows))


def _grids(count: int, height_px: int, width_px: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    for per_cell in ANCHORS_PER_CELL:
        for strides in STRIDES:
            if per_cell * sum(rows * columns for rows, columns in grid_sizes(height_px, width_px, strides)) == count:
                yield per_cell, strides


def _box_form(
    rows: NDArray[np.float32], per_cell: int, strides: Sequence[int], height_px: int, width_px: int
) -> BoxForm | None:
    """Finished boxes lie where their cells are, whatever the network has learnt; raw numbers don't.

    From cell to cell a corner moves as far as the middle of both corners. A centre moves on while the size beside it
    stays, so that their middle moves half as far. Sizes below zero, which a raw YOLO26 gives, don't disturb this.
    """
    first, middle = rows[:, :2], (rows[:, :2] + rows[:, 2:4]) * np.float32(0.5)
    orders = list(_cell_centres(per_cell, strides, height_px, width_px))
    follows, order = max(
        (_correlation(points, cells), i) for i, cells in enumerate(orders) for points in (first, middle)
    )
    if follows < _FOLLOWS_THE_GRID:
        return None
    step = _slope(first, orders[order])
    form = "xyxy" if _slope(middle, orders[order]) > 0.75 * step else "cxcywh"
    unit = "normalised" if step < _NORMALISED_STEP else "px"
    return _FORMS[form, unit]


def _cell_centres(
    per_cell: int, strides: Sequence[int], height_px: int, width_px: int
) -> Iterator[NDArray[np.float32]]:
    """Centre of every candidate's cell in px, in each order that exporters use; Darknet begins with the coarsest."""
    for order in (strides, strides[::-1]):
        sizes = grid_sizes(height_px, width_px, order)
        for groups, repeats in ((per_cell, 1), (1, per_cell)):
            cells = cell_table(sizes, order, [[(1.0, 1.0)] * groups] * len(order))
            yield np.repeat((cells[:, :2] + np.float32(0.5)) * cells[:, 2:3], repeats, axis=0)


def _correlation(points: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
    """Correlation coefficient of (A, 2) points and centres, the lower one of the two axes."""
    a, b = _about_their_mean(points, centres)
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(((a * b).sum(axis=0) / np.maximum(spread, 1e-12)).min())


def _slope(points: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
    """How far points move when their centres move by 1 px."""
    a, b = _about_their_mean(points, centres)
    return float((a * b).sum() / max((b**2).sum(), 1e-12))


def _about_their_mean(*points: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    finite = np.logical_and.reduce([np.isfinite(one).all(axis=1) for one in points])
    kept = [one[finite].astype(np.float64) for one in points]
    return [one - one.mean(axis=0) for one in kept] if finite.any() else [np.zeros((1, 2))] * len(points)


def kind_of_values(rows: NDArray[np.float32]) -> Values:
    """Tell what the columns of (A, row) candidates from the fifth on are."""
    others = rows[:, 4:]
    beyond = ((others < -_ROUNDING) | (others > 1 + _ROUNDING)).any(axis=0)
    return "logits" if beyond.all() else "mixed" if beyond.any() else "shares"
