"""Decode family `yolox`: one candidate a cell, a score is objectness times class.

raw_list   as Megvii exports it: (N, A, 5 + C), box (t + cell) * stride and exp(t) * stride, scores after the sigmoid
raw_maps   the same before flattening, (N, 5 + C, H, W) for each scale
boxes      with `--decode_in_inference`, and as libreyolo exports it: cx cy w h in px
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.anchor_claim import RawHead, raw_heads
from appliance.modelling.families.arrangement import Layout
from appliance.modelling.families.dense import DenseDecoder
from appliance.modelling.families.dense_claim import claim_of_list, other_task_doubts
from appliance.modelling.families.dense_evidence import DenseList, dense_lists, kind_of_values
from appliance.modelling.families.exporters import YOLOX, exporter, preprocessing_of
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.grid import grid_boxes
from appliance.modelling.families.heads import HeadForm, HeadOptions, checked_head_decoder
from appliance.modelling.importer.facts import Claim

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import GraphFacts

_NMS_IOU = 0.45
"""Source: Megvii YOLOX, demo/ONNXRuntime/onnx_inference.py."""


class YoloXOptions(HeadOptions):
    """The `[decode]` table of this family."""

    form: HeadForm = "raw_list"
    layout: Layout = "anchors_first"
    objectness: bool = True


def _decoder(bundle: ModelBundle, output_shapes: OutputShapes) -> DenseDecoder:
    def raw_boxes(
        values: NDArray[np.float32], cells: NDArray[np.float32], _scales: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return grid_boxes(values, cells)

    return checked_head_decoder(bundle, output_shapes, options_of(bundle, YoloXOptions), raw_boxes)


def _recognise(facts: GraphFacts) -> Claim | None:
    """Rows of 5 + C, one a cell, finished or raw."""
    if exporter(facts) == "libreyolo" and facts.metadata.get("model_family") != "yolox":
        return None
    for one in dense_lists(facts):
        if one.boxes is not None and _fits(one, facts):
            return claim_of_list("yolox", facts, one, objectness=True, usual=YOLOX, nms_iou=_NMS_IOU)
    for head in raw_heads(facts, per_cell=1):
        if _is_raw(head, facts):
            return _claim_of_raw_head(head, facts)
    return None


def _is_raw(head: RawHead, facts: GraphFacts) -> bool:
    """Maps of heads with three anchors can be read as YOLOX with many classes, but their scores are raw, too."""
    if facts.class_count is not None:
        return bool(facts.class_count == head.rows.shape[1] - 5)
    return kind_of_values(head.rows) == "shares"


def _fits(one: DenseList, facts: GraphFacts) -> bool:
    """One a cell, but not YOLOv6, which is sure of every one. Asked for by name, any list with objectness will do."""
    has_objectness = one.has_objectness(facts.class_count)
    if has_objectness is None and facts.class_count is None:
        has_objectness = one.layout == "anchors_first"
    if not has_objectness or one.values != "shares":
        return False
    if facts.options.family is not None or exporter(facts) == "libreyolo":
        return True
    return one.layout == "anchors_first" and one.per_cell == 1 and not (one.rows[:, 4] == 1).all()


def _claim_of_raw_head(head: RawHead, facts: GraphFacts) -> Claim:
    decode: dict[str, Any] = {
        "form": head.form,
        "layout": head.layout,
        "objectness": True,
        "logits": kind_of_values(head.rows) != "shares",
        "strides": list(head.strides),
    }
    return Claim(
        "yolox",
        seen=head.described(),
        decode=decode,
        class_count=head.rows.shape[1] - 5,
        preprocessing=preprocessing_of(facts, YOLOX),
        nms_iou=_NMS_IOU,
        outputs=head.outputs,
        doubts=other_task_doubts(facts),
    )


FAMILY = Family("yolox", "detect", YoloXOptions, _decoder, _recognise)
