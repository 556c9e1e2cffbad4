"""How exports of the family `detr` are recognised, and how pictures are prepared for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.evidence import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    box_form,
    has_attention,
    is_probability,
    is_whole,
    label_doubts,
    model_family,
    named,
    normalises_inside,
    said,
)
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing

_LABELS, _BOXES, _SCORES = ("labels", "classes", "class_ids"), ("boxes", "pred_boxes", "dets", "bboxes"), ("scores",)
_LOGITS = ("logits", "pred_logits", "labels", "scores")
_RANGE_DOUBT = (
    "whether it reads 0..1 or ImageNet's mean and deviation: pass --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 "
    "(DETR, Deformable DETR, RF-DETR, DEIMv2 with DINO), or --mean 0 --std 1 (RT-DETR, D-FINE, DEIM)"
)
_MANY_GELUS = 4  # the encoder of RT-DETR has one; a transformer as backbone has one in each of its layers
_OTHER_TASKS = ("segment", "pose", "obb")
_IMAGENET_FAMILIES = ("ec", "rfdetr", "lwdetr")  # of libreyolo, as are the two below
_PLAIN_FAMILIES = ("rtdetr", "rtdetrv2", "rtdetrv4", "dfine", "deim", "deimv2")
_OPENCV_FAMILIES = ("rtdetr", "rtdetrv2", "rfdetr")


def recognise(facts: GraphFacts) -> Claim | None:
    """Look for queries: few boxes with labels and scores or logits, and no suppression in the graph."""
    if "NonMaxSuppression" in facts.operators or facts.metadata.get("task", "detect") in _OTHER_TASKS:
        return None
    return _lists(facts) or _logits_boxes(facts) or _rows(facts)


def _lists(facts: GraphFacts) -> Claim | None:
    labels, boxes, scores = named(facts, *_LABELS), named(facts, *_BOXES), named(facts, *_SCORES)
    if labels is None or boxes is None or scores is None:
        return None
    shape = scores[1].shape
    if len(shape) != 2 or labels[1].shape != shape or boxes[1].shape != (*shape, 4):
        return None
    form = box_form(boxes[1])
    if form is None or not is_probability(scores[1]) or not is_whole(labels[1]):
        return None
    return _claim(
        facts,
        f"{shape[1]} queries as labels, boxes ({form}) and scores, no suppression in the graph",
        {"form": "lists", "boxes": form},
        (labels[0].name, boxes[0].name, scores[0].name),
        doubts=label_doubts(facts, labels[1], 0),
    )


def _logits_boxes(facts: GraphFacts) -> Claim | None:
    logits, boxes = named(facts, *_LOGITS), named(facts, *_BOXES)
    if not has_attention(facts):
        return None
    if logits is None or boxes is None or logits[1].ndim != 3 or boxes[1].shape != (*logits[1].shape[:2], 4):
        return None
    form = box_form(boxes[1])
    if form is None or form == "xyxy_px":
        return None
    activation, columns = _activation(logits[1], facts.class_count), logits[1].shape[2]
    columns -= activation == "softmax"
    spare = boxes[0].name.lower() == "dets" and facts.class_count == columns - 1  # RF-DETR has one column to spare
    classes = columns - spare
    return _claim(
        facts,
        f"{logits[1].shape[1]} queries as logits of {columns} classes ({activation}) and boxes ({form})",
        {"form": "logits_boxes", "boxes": form, "activation": activation, "unnamed_columns": int(spare)},
        (logits[0].name, boxes[0].name),
        class_count=classes,
    )


def _activation(logits: NDArray[np.float32], class_count: int | None) -> str:
    """Softmax has a last class "no object" that wins in most queries; with focal loss no column does."""
    if is_probability(logits):
        return "none"
    columns = logits.shape[2]
    nothing_wins = float((logits.argmax(axis=2) == columns - 1).mean())
    return "softmax" if nothing_wins > 0.5 and class_count != columns and columns > 1 else "sigmoid"


def _rows(facts: GraphFacts) -> Claim | None:
    if len(facts.outputs) != 1 or not has_attention(facts) or facts.trial[0].ndim != 3:
        return None
    rows = np.asarray(facts.trial[0], np.float32)
    if rows.shape[2] < 5 or box_form(rows[..., :4]) != "cxcywh_normalised":
        return None
    output = (facts.outputs[0].name,)
    if rows.shape[2] == 6 and is_probability(rows[..., 4]) and is_whole(rows[..., 5]) and _falls(rows[..., 4]):
        return _claim(
            facts,
            f"{rows.shape[1]} rows of normalised box, score and class, best first",
            {"form": "ranked_rows", "boxes": "cxcywh_normalised"},
            output,
        )
    if not is_probability(rows[..., 4:]) or rows.shape[1] > 1000:
        return None
    classes = rows.shape[2] - 4
    return _claim(
        facts,
        f"{rows.shape[1]} rows of normalised box and {classes} class scores",
        {"form": "rows", "boxes": "cxcywh_normalised"},
        output,
        class_count=classes,
    )


def _falls(scores: NDArray[np.float32]) -> bool:
    return bool((np.diff(scores, axis=1) <= 0).all())


def _claim(
    facts: GraphFacts,
    seen: str,
    decode: dict[str, Any],
    outputs: tuple[str, ...],
    *,
    class_count: int | None = None,
    doubts: tuple[str, ...] = (),
) -> Claim:
    preprocessing, range_doubts = _preprocessing(facts)
    return Claim(
        family="detr",
        seen=seen,
        decode=decode,
        outputs=outputs,
        class_count=class_count,
        preprocessing=preprocessing,
        score=0.5,
        doubts=(*doubts, *range_doubts),
    )


def _preprocessing(facts: GraphFacts) -> tuple[Preprocessing, tuple[str, ...]]:
    """All stretch and read RGB in 0..1; libraries differ in the resize, networks in ImageNet's normalisation.

    Sources: RT-DETR, D-FINE and DEIM resize a PIL image; libreyolo preprocess/rtdetr.py and Ultralytics use OpenCV.
    """
    library_family, size = model_family(facts), facts.metadata.get("size", "")
    uses_opencv = library_family in _OPENCV_FAMILIES or facts.metadata.get("author") == "Ultralytics"
    of_transformer = library_family == "deimv2" and size in ("s", "m", "l", "x")
    needs_imagenet = library_family in _IMAGENET_FAMILIES or of_transformer
    plain = Preprocessing("RGB8", 255.0, fit="stretch", resize="linear" if uses_opencv else "antialiased")
    normalised = Preprocessing(
        "RGB8", 255.0, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", resize="linear" if uses_opencv else "antialiased"
    )
    if needs_imagenet:
        return (plain if normalises_inside(facts) else normalised), ()
    is_known = uses_opencv or library_family in _PLAIN_FAMILIES or normalises_inside(facts)
    if is_known or _is_real_time_detr(facts) or (said(facts, "mean") and said(facts, "std")):
        return plain, ()
    return plain, (_RANGE_DOUBT,)


def _is_real_time_detr(facts: GraphFacts) -> bool:
    """Whether it is RT-DETR or its heirs: deformable attention over chosen queries behind a convolutional backbone."""
    operators = facts.operators
    gelus = operators.get("Erf", 0) + operators.get("Gelu", 0)
    return "GridSample" in operators and "TopK" in operators and gelus < _MANY_GELUS
