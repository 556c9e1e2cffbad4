"""What the families with dense heads claim in common, and how they refuse what only looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance.modelling.families.exporters import exporter, other_task, preprocessing_of
from appliance.modelling.importer.facts import Claim, Preprocessing

if TYPE_CHECKING:
    from appliance.modelling.families.dense_evidence import DenseList
    from appliance.modelling.importer.facts import GraphFacts

_ULTRALYTICS_NMS_IOU = 0.7
"""Source: Ultralytics 8.4, ultralytics/cfg/default.yaml, iou."""
_MULTI_LABEL = ("yolo9", "yolo9_p2", "yolo9_e2e")
"""Source: libreyolo 1.6, libreyolo/postprocess/yolo9.py; its Darknet families, YOLOv7 and YOLOX take the best class."""


def claim_of_list(
    family: str, facts: GraphFacts, one: DenseList, *, objectness: bool, usual: Preprocessing, nms_iou: float
) -> Claim:
    """Claim a list of finished boxes.

    Args:
        family: Who claims.
        facts: Of the network.
        one: The list.
        objectness: Whether its fifth column is one.
        usual: Preprocessing of networks of this family, where the metadata don't say otherwise.
        nms_iou: As the exporting library sets it.
    """
    decode: dict[str, Any] = {"form": "boxes", "layout": one.layout, "boxes": one.boxes, "objectness": objectness}
    decode["logits"] = one.values == "logits"
    claim = Claim(
        family,
        seen=one.described(),
        decode=decode,
        class_count=one.row - (5 if objectness else 4),
        preprocessing=preprocessing_of(facts, usual),
        nms_iou=nms_iou,
        outputs=(one.output,),
        doubts=_doubts(facts, one),
    )
    return with_habits(facts, claim)


def with_habits(facts: GraphFacts, claim: Claim) -> Claim:
    """Add what the exporting library does after the network, as far as its metadata name it."""
    if exporter(facts) == "ultralytics":
        return replace(claim, nms_iou=_ULTRALYTICS_NMS_IOU)
    if exporter(facts) != "libreyolo":
        return claim
    model_family = facts.metadata.get("model_family", "")
    habits = {"clip_before_nms": True, "multi_label": model_family in _MULTI_LABEL}
    free_of_nms = model_family == "yolo9_e2e"
    return replace(claim, decode={**claim.decode, **habits}, nms_iou=1.0 if free_of_nms else 0.45)


def refusal(family: str, facts: GraphFacts, lists: Sequence[DenseList]) -> Claim | None:
    """Say why a list that looks like a detector's isn't one, or None where nothing looks like it."""
    if not lists:
        return None
    one = lists[0]
    if other_task(facts) is not None:
        (reason,) = other_task_doubts(facts)
    elif one.values == "mixed":
        reason = (
            f"columns beyond the class scores in {one.row} (mask, keypoint or angle values?); "
            f"only upright boxes are read: export the detection model"
        )
    elif facts.class_count is not None and one.has_objectness(facts.class_count) is None:
        reason = (
            f"rows of {one.row} values have room for {one.row - 4} classes, or {one.row - 5} and an objectness, but "
            f"{facts.class_count} class names are known: pass all of them with --classes"
        )
    else:
        return None
    return Claim(family, seen=one.described(), preprocessing=preprocessing_of(facts, Preprocessing()), doubts=(reason,))


def other_task_doubts(facts: GraphFacts) -> tuple[str, ...]:
    """Refuse a file whose metadata name another task than detection."""
    task = other_task(facts)
    if task is None:
        return ()
    return (f"the file's metadata say task {task!r}; only upright boxes are read: export the detection model",)


def _doubts(facts: GraphFacts, one: DenseList) -> tuple[str, ...]:
    """Corners in a list are libreyolo's way; without its metadata the way into the network isn't known."""
    unknown = exporter(facts) == "unknown" and one.boxes == "xyxy_px" and facts.options.fit is None
    if unknown:
        return ("boxes are corners and no metadata name the library: pass --fit letterbox or letterbox_top_left",)
    return other_task_doubts(facts)
