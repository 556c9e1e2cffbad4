"""Decode family `yolov5`: a score is objectness times class, three anchors a cell.

boxes      YOLOv5, Ultralytics' own YOLOv3 and YOLOv7 as their exporters write them: (N, A, 5 + C), cx cy w h in px,
           after the sigmoid. YOLOv6 is the same with one candidate a cell and an objectness of 1.
raw_maps   the head before decoding, one output for each scale; raw_list: the same in one list. Box: centre
           (2 sigmoid - 0.5 + cell) * stride, size (2 sigmoid)^2 * anchor. The anchors aren't in such a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.anchor_claim import claim_of_raw_head
from appliance.modelling.families.arrangement import Layout
from appliance.modelling.families.dense import DenseDecoder
from appliance.modelling.families.dense_claim import claim_of_list
from appliance.modelling.families.dense_evidence import DenseList, dense_lists
from appliance.modelling.families.exporters import YOLOV5, exporter
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.grid import sigmoid, squared_boxes
from appliance.modelling.families.heads import HeadForm, HeadOptions, checked_head_decoder

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import Claim, GraphFacts

PUBLISHED_ANCHORS = {
    # Source: Ultralytics YOLOv5, models/yolov5s.yaml, models/hub/yolov5s6.yaml, models/hub/yolov3-tiny.yaml
    (8, 16, 32): (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    ),
    (8, 16, 32, 64): (
        ((19, 27), (44, 40), (38, 94)),
        ((96, 68), (86, 152), (180, 137)),
        ((140, 301), (303, 264), (238, 542)),
        ((436, 615), (739, 380), (925, 792)),
    ),
    (16, 32): (((10, 14), (23, 27), (37, 58)), ((81, 82), (135, 169), (344, 319))),
}


class YoloV5Options(HeadOptions):
    """The `[decode]` table of this family."""

    form: HeadForm = "boxes"
    layout: Layout = "anchors_first"
    objectness: bool = True


def _decoder(bundle: ModelBundle, output_shapes: OutputShapes) -> DenseDecoder:
    options = options_of(bundle, YoloV5Options)

    def raw_boxes(
        values: NDArray[np.float32], cells: NDArray[np.float32], _scales: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return squared_boxes(sigmoid(values) if options.logits else values, cells)

    return checked_head_decoder(bundle, output_shapes, options, raw_boxes)


def _recognise(facts: GraphFacts) -> Claim | None:
    """Rows of 5 + C in one list, or three anchors a cell in raw numbers."""
    if exporter(facts) == "libreyolo" and facts.metadata.get("model_family") != "yolo7":
        return None
    for one in dense_lists(facts):
        if one.boxes is not None and one.values == "shares" and _fits(one, facts):
            objectness = one.has_objectness(facts.class_count) is not False
            return claim_of_list("yolov5", facts, one, objectness=objectness, usual=YOLOV5, nms_iou=0.45)
    return claim_of_raw_head("yolov5", facts, PUBLISHED_ANCHORS, usual=YOLOV5)


def _fits(one: DenseList, facts: GraphFacts) -> bool:
    """Three a cell, or YOLOv6: one a cell, sure of every one. Asked for by name, any finished list will do."""
    has_objectness = one.has_objectness(facts.class_count)
    if facts.options.family is not None:
        return has_objectness is not None or facts.class_count is None
    if exporter(facts) == "libreyolo":
        return has_objectness is False
    if has_objectness is False or (has_objectness is None and facts.class_count is not None):
        return False
    if one.layout != "anchors_first" or not one.strides:
        return False
    return one.per_cell > 1 or bool((one.rows[:, 4] == 1).all())


FAMILY = Family("yolov5", "detect", YoloV5Options, _decoder, _recognise)
