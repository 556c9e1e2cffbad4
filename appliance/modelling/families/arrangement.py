"""How the candidates of dense heads lie in a session's outputs: as one list, or as a map for each scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch
from appliance.modelling.families.candidates import check_arrays, check_shapes

if TYPE_CHECKING:
    from appliance.modelling.families.family import OutputShapes

Layout = Literal["anchors_last", "anchors_first"]
"""One list of candidates: (N, row, A) as Ultralytics writes it since YOLOv8, or (N, A, row) as everybody did before."""


@dataclass(frozen=True)
class ListArrangement:
    """One output with all candidates.

    Attributes:
        family: For messages.
        layout: Which axis counts the candidates.
        row: Values of a candidate.
        candidates: Their number; None for any.
    """

    family: str
    layout: Layout
    row: int
    candidates: int | None = None

    def check(self, model: str, shapes: OutputShapes) -> None:
        """Hold a session's outputs against the family.

        Raises:
            ModelContractMismatch: Number of outputs, rank or a size differs.
        """
        check_shapes(f"model {model}: family {self.family}", list(shapes.values()), [(None, *self._shape)])

    def __call__(self, outputs: Sequence[NDArray[np.float32]], count: int) -> list[NDArray[np.float32]]:
        """Bring the output to (N, 1, A, row), a view of it.

        Raises:
            ModelContractMismatch: Shape or dtype differs.
        """
        check_arrays(self.family, outputs, [(count, *self._shape)])
        rows = outputs[0] if self.layout == "anchors_first" else outputs[0].transpose(0, 2, 1)
        return [rows[:, None]]

    @property
    def _shape(self) -> tuple[int | None, int | None]:
        if self.layout == "anchors_first":
            return self.candidates, self.row
        return self.row, self.candidates


@dataclass(frozen=True)
class MapArrangement:
    """One output for each scale: (N, anchors * row, H, W), (N, anchors, H, W, row) or (N, H, W, anchors * row).

    Attributes:
        family: For messages.
        row: Values of a candidate.
        anchors: Anchors of a cell.
        sizes: Rows and columns of each scale, finest first; outputs may come in any order.
    """

    family: str
    row: int
    anchors: int
    sizes: tuple[tuple[int, int], ...]

    def check(self, model: str, shapes: OutputShapes) -> None:
        """Hold a session's outputs against the family.

        Raises:
            ModelContractMismatch: Number of outputs or a fixed size differs.
        """
        fixed = [tuple(shape) for shape in shapes.values()]
        if all(isinstance(size, int) for shape in fixed for size in shape[1:]):
            self._order([(0, *shape[1:]) for shape in fixed], f"model {model}: family {self.family}")
        elif len(fixed) != len(self.sizes):
            raise self._mismatch(f"model {model}: family {self.family}", fixed)

    def __call__(self, outputs: Sequence[NDArray[np.float32]], count: int) -> list[NDArray[np.float32]]:
        """Bring the outputs to (N, anchors, H * W, row), finest scale first, views of them.

        Raises:
            ModelContractMismatch: Shape or dtype differs.
        """
        if any(output.dtype != np.float32 or len(output) != count for output in outputs):
            raise self._mismatch(self.family, [(*output.shape, output.dtype) for output in outputs])
        order = self._order([output.shape for output in outputs], self.family)
        return [self._rows(outputs[index], size) for index, size in zip(order, self.sizes, strict=True)]

    def _order(self, shapes: Sequence[tuple[int | str | None, ...]], where: str) -> list[int]:
        """Index of the output of each scale."""
        order = [
            index for size in self.sizes for index, shape in enumerate(shapes) if shape[1:] in self._possible(*size)
        ]
        if len(order) != len(self.sizes) or len(shapes) != len(self.sizes):
            raise self._mismatch(where, shapes)
        return order

    def _possible(self, rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
        channels = self.anchors * self.row
        return (channels, rows, columns), (self.anchors, rows, columns, self.row), (rows, columns, channels)

    def _rows(self, output: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        count, cells = len(output), size[0] * size[1]
        form = self._possible(*size).index(output.shape[1:])
        if form == 0:
            return output.reshape(count, self.anchors, self.row, cells).transpose(0, 1, 3, 2)
        if form == 1:
            return output.reshape(count, self.anchors, cells, self.row)
        return output.reshape(count, cells, self.anchors, self.row).transpose(0, 2, 1, 3)

    def _mismatch(self, where: str, found: Sequence[object]) -> ModelContractMismatch:
        maps = ", ".join(f"(N, {self.anchors * self.row}, {rows}, {columns})" for rows, columns in self.sizes)
        return ModelContractMismatch(
            f"{where} expects float32 outputs {maps}, or the same with the row of {self.row} values last, "
            f"got {', '.join(map(str, found))}; correct strides, anchors or classes in model.toml"
        )
