"""How exports of the family `ssd` are recognised, and how pictures are prepared for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.evidence import (
    box_form,
    has_attention,
    is_probability,
    model_family,
    rows_sum_to_one,
)
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing

_Array = NDArray[np.float32]
_FEWEST_PRIORS = 200
_ULTRAFACE_PRIORS = (4420, 17640)  # of its inputs 320 x 240 and 640 x 480
_LIBREYOLO = Preprocessing("RGB8", 1.0, (123.0, 117.0, 104.0), (1.0,), fit="stretch")
"""Source: libreyolo models/ssd/utils.py; (0.48235, 0.45882, 0.40784) of 255, as torchvision's SSD300."""


def recognise(facts: GraphFacts) -> Claim | None:
    """Look for many priors with scores of classes and background, and as many boxes."""
    if model_family(facts) == "ssd":
        return _libreyolo(facts)
    found = _scores_and_boxes(facts)
    if found is None:
        return None
    (scores_name, scores), (boxes_name, boxes) = found
    columns, form = scores.shape[2], box_form(boxes)
    names = _without_background(facts.class_names)
    background, background_doubts = _background(facts, scores, len(names) if names else None)
    preprocessing, doubts = _preprocessing(facts, *scores.shape[1:])
    return Claim(
        family="ssd",
        seen=f"{scores.shape[1]} priors with {columns} score columns (background {background}) and boxes ({form})",
        decode={
            "boxes": form or "xyxy_normalised",
            "activation": "none" if is_probability(scores) else "softmax",
            "background": background,
        },
        class_count=columns - (background != "none"),
        class_names=names,
        preprocessing=preprocessing,
        score=0.5,
        nms_iou=0.5 if scores.shape[1] in _ULTRAFACE_PRIORS else 0.45,
        outputs=(scores_name, boxes_name),
        doubts=(*_box_doubts(facts, form), *background_doubts, *doubts),
    )


def _libreyolo(facts: GraphFacts) -> Claim | None:
    """One output (N, 4 + C, A) like YOLOv8's, but with corners."""
    if len(facts.outputs) != 1 or facts.trial[0].ndim != 3:
        return None
    rows, priors = facts.trial[0].shape[1:]
    return Claim(
        family="ssd",
        seen=f"libreyolo's SSD: {priors} priors with corners and {rows - 4} class scores",
        decode={"boxes": "xyxy_px", "background": "none", "joined": True},
        class_count=rows - 4,
        preprocessing=_LIBREYOLO,
        score=0.5,
        outputs=(facts.outputs[0].name,),
    )


def _scores_and_boxes(facts: GraphFacts) -> tuple[tuple[str, _Array], tuple[str, _Array]] | None:
    """Return name and trial of the two outputs; None where there are others, or where a transformer made them."""
    if len(facts.outputs) != 2 or has_attention(facts) or "NonMaxSuppression" in facts.operators:
        return None
    both = [
        (output.name, np.asarray(array, np.float32)) for output, array in zip(facts.outputs, facts.trial, strict=True)
    ]
    both.sort(key=lambda one: (one[1].ndim == 3 and one[1].shape[2] == 4, "box" in one[0].lower()))
    scores, boxes = both[0][1], both[1][1]
    fits = scores.ndim == boxes.ndim == 3 and boxes.shape[2] == 4 and scores.shape[:2] == boxes.shape[:2]
    return (both[0], both[1]) if fits and scores.shape[1] >= _FEWEST_PRIORS else None


def _without_background(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Leave out the name that label files of SSD give to the background."""
    return tuple(name for name in names if name.lower() not in ("background", "__background__")) if names else None


def _background(facts: GraphFacts, scores: _Array, class_count: int | None) -> tuple[str, tuple[str, ...]]:
    """Find the column that wins nearly everywhere: on any picture most priors see nothing."""
    columns = scores.shape[2]
    wins = np.bincount(scores.argmax(axis=2).ravel(), minlength=columns) / scores[..., 0].size
    exclusive = rows_sum_to_one(scores) or not is_probability(scores)
    if exclusive and columns > 1 and class_count in (None, columns - 1):
        for name, column in (("first", 0), ("last", columns - 1)):
            if wins[column] > 0.5:
                return name, ()
    if not exclusive and class_count == columns:
        return "none", ()
    if "background" in facts.options.decode:
        return str(facts.options.decode["background"]), ()
    return "first", ('which score column means no object: pass --decode background=\'"first"\', "last" or "none"',)


def _box_doubts(facts: GraphFacts, form: str | None) -> tuple[str, ...]:
    if (form is not None and form.startswith("xyxy")) or "boxes" in facts.options.decode:
        return ()
    doubt = (
        "what the boxes are: no corners; offsets to priors can't be decoded without the priors, export with decoded "
        "boxes; for centres and sizes pass --decode boxes='\"cxcywh_normalised\"'"
    )
    return (doubt,)


def _preprocessing(facts: GraphFacts, priors: int, columns: int) -> tuple[Preprocessing, tuple[str, ...]]:
    if priors in _ULTRAFACE_PRIORS and columns == 2 and not facts.stem:
        return Preprocessing("RGB8", 1.0, (127.0,), (128.0,), fit="stretch"), ()
    plain = Preprocessing("RGB8", 255.0, fit="stretch")
    if facts.stem or facts.options.divisor is not None or facts.options.mean is not None:
        return plain, ()
    return plain, ("in which range it reads pixels: pass --divisor, or --mean and --std, as it was trained",)
