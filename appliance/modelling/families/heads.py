"""The heads of the YOLO families: what `[decode]` may say of them, and the decoder that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from appliance.modelling.families.arrangement import Layout, ListArrangement, MapArrangement
from appliance.modelling.families.candidates import BoxForm, to_corners
from appliance.modelling.families.dense import DenseDecoder, DenseOptions
from appliance.modelling.families.grid import Anchors, Strides, cell_table, grid_sizes

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.families.family import OutputShapes

HeadForm = Literal["boxes", "raw_list", "raw_maps"]
"""Finished boxes in one list; raw numbers in one list; raw numbers in one map for each scale."""

RawBoxes = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
"""(K, 4) raw numbers, (K, 5) cells, (K,) indices of the scales -> (K, 4) corners in px of the model input."""


class HeadOptions(DenseOptions):
    """The `[decode]` table of the families with dense heads; each has its own defaults."""

    form: HeadForm = "boxes"
    layout: Layout = "anchors_last"
    boxes: BoxForm = Field(default="cxcywh_px", description="for form = 'boxes'")
    strides: Strides = (8, 16, 32)
    anchors: Anchors | None = Field(default=None, description="for raw heads with anchors")

    @model_validator(mode="after")
    def _anchors_for_each_scale(self) -> Self:
        if self.anchors is not None:
            counts = {len(scale) for scale in self.anchors}
            if len(self.anchors) != len(self.strides) or len(counts) != 1 or 0 in counts:
                raise ValueError(f"anchors: expected as many for each of the {len(self.strides)} strides")
        return self

    @property
    def anchors_per_cell(self) -> int:
        """Candidates of a cell."""
        return len(self.anchors[0]) if self.anchors else 1


@dataclass(frozen=True)
class HeadShape:
    """What a head's decoder needs to know beside its options.

    Attributes:
        family: For messages.
        class_count: Number of classes.
        height, width: px of the model input.
    """

    family: str
    class_count: int
    height: int
    width: int

    @classmethod
    def of(cls, bundle: ModelBundle) -> HeadShape:
        """Read it from a bundle."""
        return cls(bundle.family, len(bundle.class_names), bundle.input.height, bundle.input.width)


def head_decoder(shape: HeadShape, options: HeadOptions, raw_boxes: RawBoxes | None = None) -> DenseDecoder:
    """Make the decoder of a head.

    Args:
        shape: Of the network.
        options: The `[decode]` table.
        raw_boxes: The family's formula; needed unless the boxes are finished.
    """
    arrangement = arrangement_of(shape, options)
    if options.form == "boxes" or raw_boxes is None:
        return DenseDecoder(
            options, arrangement, lambda values, _: to_corners(values, options.boxes, shape.width, shape.height)
        )
    sizes = grid_sizes(shape.height, shape.width, options.strides)
    cells = cell_table(sizes, options.strides, options.anchors)
    scales = np.repeat(np.arange(len(sizes)), [options.anchors_per_cell * rows * columns for rows, columns in sizes])
    return DenseDecoder(
        options, arrangement, lambda values, indices: raw_boxes(values, cells[indices], scales[indices])
    )


def checked_head_decoder(
    bundle: ModelBundle, output_shapes: OutputShapes, options: HeadOptions, raw_boxes: RawBoxes | None = None
) -> DenseDecoder:
    """Check a session's outputs against a bundle and make the decoder.

    Raises:
        ModelContractMismatch: Number, rank or a size of the outputs isn't that of the head.
    """
    shape = HeadShape.of(bundle)
    arrangement_of(shape, options).check(bundle.name, output_shapes)
    return head_decoder(shape, options, raw_boxes)


def arrangement_of(shape: HeadShape, options: HeadOptions) -> ListArrangement | MapArrangement:
    """How the candidates of this head lie in the outputs."""
    row = shape.class_count + (5 if options.objectness else 4)
    sizes = grid_sizes(shape.height, shape.width, options.strides)
    if options.form == "raw_maps":
        return MapArrangement(shape.family, row, options.anchors_per_cell, tuple(sizes))
    cells = options.anchors_per_cell * sum(rows * columns for rows, columns in sizes)
    return ListArrangement(shape.family, options.layout, row, cells if options.form == "raw_list" else None)
