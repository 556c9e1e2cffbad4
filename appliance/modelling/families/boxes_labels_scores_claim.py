"""How exports of the family `boxes_labels_scores` are recognised, and how pictures are prepared for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.evidence import box_form, label_doubts, named
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing, TensorFacts

MOST_ROWS = 300
"""Rows that lists of free length are padded or cut to: the most that torchvision's detectors give (RetinaNet)."""

_Output = tuple[TensorFacts, NDArray[np.float32]]


def recognise(facts: GraphFacts) -> Claim | None:
    """Look for lists of boxes, labels and scores behind a suppression inside the graph."""
    return _tensorflow(facts) or _torchvision(facts) or _batched(facts)


def _tensorflow(facts: GraphFacts) -> Claim | None:
    outputs = [named(facts, f"detection_{what}", f"detection_{what}:0") for what in ("boxes", "classes", "scores")]
    number = named(facts, "num_detections", "num_detections:0")
    found = [output[0].name for output in outputs if output is not None]
    if len(found) != 3:
        return None
    return Claim(
        family="boxes_labels_scores",
        seen="TensorFlow's detection_boxes, detection_classes and detection_scores",
        decode={"boxes": "yxyx_normalised", "first_label": 1, "counted": number is not None},
        preprocessing=Preprocessing("RGB8", 1.0, fit="stretch"),
        score=0.5,
        outputs=(*found, number[0].name) if number is not None else tuple(found),
    )


def _torchvision(facts: GraphFacts) -> Claim | None:
    """Three lists without a batch axis; its own transform normalises inside the graph and reads 0..1."""
    lists = _three(facts, batched=False)
    if lists is None or "NonMaxSuppression" not in facts.operators:
        return None
    return Claim(
        family="boxes_labels_scores",
        seen="torchvision's boxes, labels and scores of one picture, suppressed inside the graph",
        decode={"boxes": "xyxy_px", "first_label": 1},
        preprocessing=Preprocessing("RGB8", 255.0, fit="stretch"),
        score=0.5,
        outputs=tuple(output.name for output, _ in lists),
        rows=MOST_ROWS,
        doubts=label_doubts(facts, lists[1][1], 1),
    )


def _batched(facts: GraphFacts) -> Claim | None:
    lists = _three(facts, batched=True)
    if lists is None or "NonMaxSuppression" not in facts.operators:
        return None
    form, said = box_form(lists[0][1]), facts.options.decode
    doubts = []
    if form is None and "boxes" not in said:
        doubts.append("""in which notation the boxes are: pass --decode boxes='"xyxy_px"' or another""")
    if "first_label" not in said:
        doubts.append("which label the first class has: pass --decode first_label=0, or 1 where 0 is the background")
    return Claim(
        family="boxes_labels_scores",
        seen=f"boxes ({form}), labels and scores, suppressed inside the graph",
        decode={"boxes": form or "xyxy_px", "first_label": 0},
        preprocessing=Preprocessing("RGB8", 255.0, fit="stretch"),
        score=0.5,
        outputs=tuple(output.name for output, _ in lists),
        doubts=tuple(doubts),
    )


def _three(facts: GraphFacts, *, batched: bool) -> tuple[_Output, _Output, _Output] | None:
    """Find boxes (…, 4), labels by their whole type, and scores among exactly three outputs; their order varies."""
    if len(facts.outputs) != 3:
        return None
    boxes: list[_Output] = []
    labels: list[_Output] = []
    scores: list[_Output] = []
    for output, trial in zip(facts.outputs, facts.trial, strict=True):
        array = np.asarray(trial, np.float32)
        if array.ndim == 2 + batched and array.shape[-1] == 4:
            boxes.append((output, array))
        elif array.ndim == 1 + batched:
            (labels if output.dtype.startswith("int") else scores).append((output, array))
    if len(boxes) != 1 or len(labels) != 1 or len(scores) != 1:
        return None
    return boxes[0], labels[0], scores[0]
