"""Decode families: how the raw outputs of one kind of detector become detections.

A bundle names its family; `decoder_for` refuses outputs that aren't that family's. A new family is one
module here and one row in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch
from appliance.modelling.detections import Detections
from appliance.modelling.families.yolov8 import YoloV8Decoder
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle

__all__ = ["FAMILIES", "Decoder", "OutputShapes", "decoder_for"]

OutputShapes = Mapping[str, Sequence[int | str | None]]
"""A session's outputs: name to shape, where a free dimension is a name or None."""


class Decoder(Protocol):
    """Called by the inspector once after each session run, on its own thread."""

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Return one item for each placement, in the same order.

        Raises:
            ModelContractMismatch: An output's shape or dtype differs from what the family promises.
        """
        ...


FAMILIES: dict[str, Callable[[ModelBundle, OutputShapes], Decoder]] = {
    "yolov8": YoloV8Decoder.for_bundle,
}


def decoder_for(bundle: ModelBundle, output_shapes: OutputShapes) -> Decoder:
    """Make the decoder for a bundle whose session has these outputs.

    Args:
        bundle: The loaded bundle; its `family` chooses the row of `FAMILIES`.
        output_shapes: Output name to shape as the session reports them, in the session's order.
    Raises:
        ModelContractMismatch: Unknown family, or names, number or shapes of the outputs differ.
    """
    make = FAMILIES.get(bundle.family)
    if make is None:
        raise ModelContractMismatch(
            f"model {bundle.name}: unknown decode family {bundle.family!r}, known: {', '.join(sorted(FAMILIES))}"
        )
    promised = [output.name for output in bundle.outputs]
    if promised != list(output_shapes):
        raise ModelContractMismatch(
            f"model {bundle.name}: model.toml promises outputs {promised}, model.onnx has {list(output_shapes)}"
        )
    return make(bundle, output_shapes)
