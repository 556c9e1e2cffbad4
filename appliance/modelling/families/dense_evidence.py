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
    """Finished boxes lie where their cells are, whatever the network has learnt; raw numbers don't."""
    corners = (rows[:, :2] + rows[:, 2:4]) * np.float32(0.5)
    follows = max(
        max(_correlation(rows[:, :2], centres), _correlation(corners, centres))
        for centres in _cell_centres(per_cell, strides, height_px, width_px)
    )
    return evidence.box_form(rows[:, :4]) if follows > _FOLLOWS_THE_GRID else None


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
    finite = np.isfinite(points).all(axis=1)
    a, b = (np.float64(x[finite]) - np.float64(x[finite]).mean(axis=0) for x in (points, centres))
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nan_to_num((a * b).sum(axis=0) / spread).min())


def kind_of_values(rows: NDArray[np.float32]) -> Values:
    """Tell what the columns of (A, row) candidates from the fifth on are."""
    others = rows[:, 4:]
    beyond = ((others < -_ROUNDING) | (others > 1 + _ROUNDING)).any(axis=0)
    return "logits" if beyond.all() else "mixed" if beyond.any() else "shares"
