"""Decode families: how the raw outputs of one kind of detector become detections.

A bundle names its family; `decoder_for` refuses outputs that aren't that family's. A new family is one
module here and one row in `FAMILIES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import ModelContractMismatch
from appliance.modelling.families import (
    anomaly_map,
    boxes_labels_scores,
    detr,
    end_to_end,
    grid_head,
    ssd,
    yolov3,
    yolov5,
    yolov8,
    yolox,
)
from appliance.modelling.families.family import Decoder, Family, OutputShapes

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle

__all__ = ["FAMILIES", "Decoder", "Family", "OutputShapes", "decoder_for"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        yolov8.FAMILY,
        yolov5.FAMILY,
        yolov3.FAMILY,
        yolox.FAMILY,
        end_to_end.FAMILY,
        detr.FAMILY,
        ssd.FAMILY,
        grid_head.FAMILY,
        boxes_labels_scores.FAMILY,
        anomaly_map.FAMILY,
    )
}  # fmt: skip


def decoder_for(bundle: ModelBundle, output_shapes: OutputShapes) -> Decoder:
    """Make the decoder for a bundle whose session has these outputs.

    Args:
        bundle: The loaded bundle; its `family` chooses the row of `FAMILIES`.
        output_shapes: Output name to shape as the session reports them, in the session's order.
    Raises:
        ModelContractMismatch: Unknown family, or names, number or shapes of the outputs differ.
    """
    family = FAMILIES.get(bundle.family)
    if family is None:
        raise ModelContractMismatch(
            f"model {bundle.name}: unknown decode family {bundle.family!r}, known: {', '.join(FAMILIES)}"
        )
    if family.task != bundle.task:
        raise ModelContractMismatch(
            f"model {bundle.name}: family {family.name} is for task {family.task!r}, model.toml says {bundle.task!r}"
        )
    promised = [output.name for output in bundle.outputs]
    if promised != list(output_shapes):
        raise ModelContractMismatch(
            f"model {bundle.name}: model.toml promises outputs {promised}, model.onnx has {list(output_shapes)}"
        )
    return family.decoder(bundle, output_shapes)
