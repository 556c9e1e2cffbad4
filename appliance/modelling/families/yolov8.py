"""Decode family `yolov8`: one output of finished boxes and class scores, no objectness.

YOLOv8, YOLO11 and YOLO12 as Ultralytics exports them without built-in NMS, its YOLOv3u, YOLOv5u and YOLOv9: (N, 4 + C,
A), boxes as cx cy w h in px, scores after the sigmoid; a candidate is of its best class. libreyolo's YOLOv9: the same
with corners, a candidate may be of several classes, overlaps measured after clipping to the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.modelling.families.dense import DenseDecoder
from appliance.modelling.families.dense_claim import claim_of_list, refusal
from appliance.modelling.families.dense_evidence import DenseList, dense_lists
from appliance.modelling.families.exporters import CENTRED, YOLOV5, exporter
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.heads import HeadOptions, HeadShape, checked_head_decoder, head_decoder
from appliance.modelling.importer.facts import Claim

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import GraphFacts

_DISTRIBUTION = 64
_OF_LIBREYOLO = ("yolo9", "yolo9_p2", "yolo9_e2e")


class YoloV8Options(HeadOptions):
    """The `[decode]` table of this family."""


def decoder_of(class_count: int) -> DenseDecoder:
    """Make the decoder of a head as Ultralytics exports it."""
    return head_decoder(HeadShape("yolov8", class_count, height=1, width=1), YoloV8Options())


def _decoder(bundle: ModelBundle, output_shapes: OutputShapes) -> DenseDecoder:
    return checked_head_decoder(bundle, output_shapes, options_of(bundle, YoloV8Options))


def _recognise(facts: GraphFacts) -> Claim | None:
    """Finished boxes in one list with room for the classes and nothing else."""
    if exporter(facts) == "libreyolo" and facts.metadata.get("model_family") not in _OF_LIBREYOLO:
        return None
    asked = facts.options.family is not None
    lists = [one for one in dense_lists(facts) if one.boxes is not None and (one.strides or asked)]
    wanted = [one for one in lists if _fits(one, facts)]
    if wanted:
        # YOLOv9's own exporter and the tools around it are YOLOv5's: stride and names, nothing else in the metadata
        of_yolov9 = exporter(facts) == "unknown" and "stride" in facts.metadata
        usual, nms_iou = (YOLOV5, 0.45) if of_yolov9 else (CENTRED, 0.7)
        return claim_of_list("yolov8", facts, wanted[0], objectness=False, usual=usual, nms_iou=nms_iou)
    return refusal("yolov8", facts, lists) or _refusal_of_distributions(facts)


def _refusal_of_distributions(facts: GraphFacts) -> Claim | None:
    """Heads cut off before their boxes: 16 bins for each side, alone or with the classes, in one map for each scale."""
    channels = {output.shape[1] for output in facts.outputs if len(output.shape) == 4}
    count = facts.class_count
    if count is None or not ({_DISTRIBUTION + count} == channels or {_DISTRIBUTION, count} <= channels):
        return None
    reason = (
        f"boxes are still distributions of {_DISTRIBUTION} numbers; export the whole model, up to its finished boxes"
    )
    return Claim("yolov8", seen="raw maps of a YOLOv8 head", doubts=(reason,))


def _fits(one: DenseList, facts: GraphFacts) -> bool:
    has_objectness = one.has_objectness(facts.class_count)
    if has_objectness is None and facts.class_count is None:
        has_objectness = one.layout == "anchors_first" or one.per_cell > 1
    return has_objectness is False and one.values != "mixed"


FAMILY = Family("yolov8", "detect", YoloV8Options, _decoder, _recognise)
