"""Decode family `grid_head`: one map, one box for each cell; the way of FastestDet.

    [N, 5 + C, H, W]: objectness after sigmoid; raw offsets x, y and sizes w, h; class shares after softmax

    centre = (cell + tanh(offset)) / cells,  size = sigmoid(raw),  as shares of the picture
    score  = objectness ** 0.6 * best class share ** 0.4   (its first release multiplied them as they are: 1 and 1)

Source: dog-qiuqiu/FastestDet utils/tool.py (`handle_preds`), test.py, example/onnx-runtime/runtime.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections
from appliance.modelling.families.candidates import best_in_frame, check_arrays, check_shapes, to_corners
from appliance.modelling.families.evidence import is_probability, rows_sum_to_one
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.grid import sigmoid
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle


class GridHeadOptions(ConfinedModel):
    """`[decode]` of the family `grid_head`."""

    objectness_power: float = Field(default=0.6, gt=0, description="exponent of the objectness in the score")
    class_power: float = Field(default=0.4, ge=0, description="exponent of the best class share in the score")


class GridHeadDecoder:
    """Turn raw outputs of the `grid_head` family into detections in frame pixels."""

    def __init__(self, options: GridHeadOptions, class_count: int, width_px: int, height_px: int) -> None:
        self.options = options
        self.class_count = class_count
        self._size_px = (width_px, height_px)

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> GridHeadDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number of outputs, rank or channels aren't those of this family.
        """
        decoder = cls(
            options_of(bundle, GridHeadOptions), len(bundle.class_names), bundle.input.width, bundle.input.height
        )
        check_shapes(
            f"model {bundle.name}: family grid_head with {decoder.class_count} classes",
            list(output_shapes.values()),
            decoder._shapes(None),
        )
        return decoder

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; as `Decoder.decode`."""
        check_arrays("grid_head", outputs, self._shapes(len(placements)))
        found = []
        for grid, place in zip(outputs[0], placements, strict=True):
            scores = self._scores(grid)
            rows, columns = np.nonzero(scores >= score)
            cells = grid[:, rows, columns]
            found.append(
                best_in_frame(
                    to_corners(_boxes(cells, rows, columns, scores.shape), "cxcywh_normalised", *self._size_px),
                    scores[rows, columns],
                    cells[5:].argmax(axis=0).astype(np.int64),
                    place,
                    score=score,
                    nms_iou=nms_iou,
                    max_detections=max_detections,
                )
            )
        return found

    def _shapes(self, count: int | None) -> tuple[tuple[int | None, ...], ...]:
        return ((count, 5 + self.class_count, None, None),)

    def _scores(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score (H, W) of each cell's best class."""
        with np.errstate(invalid="ignore"):  # a broken network's negative shares become NaN, which no score passes
            objectness = np.power(grid[0], np.float32(self.options.objectness_power))
            return np.asarray(objectness * np.power(grid[5:].max(axis=0), np.float32(self.options.class_power)))


def _boxes(
    cells: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Decode the raw offsets and sizes of K cells to (K, 4) normalised centres and sizes."""
    sizes = sigmoid(cells[3:5])
    corner = np.stack([columns, rows]).astype(np.float32)
    centres = (corner + np.tanh(cells[1:3])) / np.array([[shape[1]], [shape[0]]], np.float32)
    return np.concatenate([centres, sizes]).T


def _recognise(facts: GraphFacts) -> Claim | None:
    """Look for one map whose first channel is a probability and whose channels from the sixth on are shares."""
    if len(facts.outputs) != 1 or facts.trial[0].ndim != 4 or facts.trial[0].shape[1] < 6:
        return None
    grid = np.asarray(facts.trial[0], np.float32)
    shares = np.moveaxis(grid[:, 5:], 1, -1)
    if not is_probability(grid[:, 0]) or not rows_sum_to_one(shares):
        return None
    channels, height, width = grid.shape[1:]
    return Claim(
        family="grid_head",
        seen=f"one map of {width}x{height} cells with objectness, box and {channels - 5} class shares",
        class_count=channels - 5,
        preprocessing=Preprocessing("BGR8", 255.0, fit="stretch"),
        score=0.65,
        nms_iou=0.45,
        outputs=(facts.outputs[0].name,),
    )


FAMILY = Family("grid_head", "detect", GridHeadOptions, GridHeadDecoder.for_bundle, _recognise)
