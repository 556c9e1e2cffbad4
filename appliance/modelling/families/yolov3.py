"""Decode family `yolov3`: Darknet's YOLOv3 and YOLOv3-tiny, and what is decoded like them.

raw_maps   the head as Darknet has it, one output for each scale, (N, 3 * (5 + C), H, W) or (N, 3, H, W, 5 + C). Box:
           centre (sigmoid + cell) * stride, size exp * anchor; a score is objectness times class, each after its own
           sigmoid. The anchors stand in the cfg, not in the ONNX file. YOLOv4 lets centres leave their cell: scale_xy.
boxes      what exporters make of it: libreyolo reads cfg and weights and writes (N, 4 + C, A), corners in px and scores
           already multiplied, a candidate may be of several classes; others write (N, A, 5 + C) as YOLOv5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.modelling.families.anchor_claim import claim_of_raw_head
from appliance.modelling.families.dense import DenseDecoder
from appliance.modelling.families.dense_claim import claim_of_list
from appliance.modelling.families.dense_evidence import dense_lists
from appliance.modelling.families.exporters import CENTRED, DARKNET, YOLOV5, exporter
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.grid import exponential_boxes
from appliance.modelling.families.heads import HeadForm, HeadOptions, checked_head_decoder

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import Claim, GraphFacts

PUBLISHED_ANCHORS = {
    # Source: darknet, cfg/yolov3.cfg and cfg/yolov3-tiny.cfg
    (8, 16, 32): (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    ),
    (16, 32): (((10, 14), (23, 27), (37, 58)), ((81, 82), (135, 169), (344, 319))),
}


class YoloV3Options(HeadOptions):
    """The `[decode]` table of this family."""

    form: HeadForm = "raw_maps"
    objectness: bool = True
    logits: bool = True
    scale_xy: tuple[float, ...] | None = Field(default=None, description="`scale_x_y` of each stride's [yolo] section")


def _decoder(bundle: ModelBundle, output_shapes: OutputShapes) -> DenseDecoder:
    options = options_of(bundle, YoloV3Options)
    scale_xy = np.array(options.scale_xy or [1.0] * len(options.strides), np.float32)

    def raw_boxes(
        values: NDArray[np.float32], cells: NDArray[np.float32], scales: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return exponential_boxes(values, cells, scale_xy[scales])

    return checked_head_decoder(bundle, output_shapes, options, raw_boxes)


def _recognise(facts: GraphFacts) -> Claim | None:
    """Darknet through libreyolo, a raw head behind leaky activations or, asked for by name, any finished list."""
    of_libreyolo = facts.metadata.get("model_family") in ("yolo2", "yolo3", "yolo4")
    if exporter(facts) == "libreyolo" and not of_libreyolo:
        return None
    if of_libreyolo or facts.options.family is not None:
        for one in dense_lists(facts):
            has_objectness = False if of_libreyolo else one.has_objectness(facts.class_count)
            if has_objectness is None and facts.class_count is None:
                has_objectness = one.layout == "anchors_first"
            if one.boxes is not None and one.values == "shares" and has_objectness is not None:
                return claim_of_list(
                    "yolov3",
                    facts,
                    one,
                    objectness=has_objectness,
                    usual=YOLOV5 if has_objectness else CENTRED,
                    nms_iou=0.45,
                )
    return claim_of_raw_head("yolov3", facts, PUBLISHED_ANCHORS, usual=DARKNET)


FAMILY = Family("yolov3", "detect", YoloV3Options, _decoder, _recognise)
