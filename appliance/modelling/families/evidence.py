"""What a trial run and a graph give away about a foreign network; small questions that several families ask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.candidates import BoxForm
from appliance.modelling.importer.facts import GraphFacts, TensorFacts

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FARTHEST_NORMALISED = 2.0  # boxes may leave the picture a little; px of a model input go far beyond


def named(facts: GraphFacts, *names: str) -> tuple[TensorFacts, NDArray[np.float32]] | None:
    """Return the output with one of these names (of equal rank, case aside), and what the trial gave for it."""
    for output, array in zip(facts.outputs, facts.trial, strict=True):
        if output.name.lower() in names:
            return output, np.asarray(array, np.float32)
    return None


def box_form(boxes: NDArray[np.float32]) -> BoxForm | None:
    """Tell the notation of (…, 4) boxes from many of them; None where they are neither corners nor centres.

    Corners have x2 >= x1 and y2 >= y1 in every box; of centres and sizes that holds by chance for some only.
    """
    rows = boxes.reshape(-1, 4)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return None
    in_px = bool(np.abs(rows).max() > _FARTHEST_NORMALISED)
    if (rows[:, 2:] >= rows[:, :2]).all():
        return "xyxy_px" if in_px else "xyxy_normalised"
    if (rows[:, 2:] >= 0).all():
        return "cxcywh_px" if in_px else "cxcywh_normalised"
    return None


def is_probability(scores: NDArray[np.float32]) -> bool:
    """Whether all values lie in 0..1, as after a sigmoid or softmax."""
    return bool(scores.size) and bool(((scores >= 0) & (scores <= 1)).all())


def rows_sum_to_one(scores: NDArray[np.float32]) -> bool:
    """Whether every row is a distribution, as after a softmax; half precision rounds."""
    return is_probability(scores) and bool(np.allclose(scores.sum(axis=-1), 1, atol=5e-3))


def is_whole(values: NDArray[np.float32]) -> bool:
    """Whether all values are class ids: whole numbers from 0."""
    return bool((np.rint(values) == values).all() and (values >= 0).all())


def has_attention(facts: GraphFacts) -> bool:
    """Whether the network is a transformer: several softmaxes, or sampling at learnt places."""
    return facts.operators.get("Softmax", 0) > 1 or "GridSample" in facts.operators or "Attention" in facts.operators


def label_doubts(facts: GraphFacts, labels: NDArray[np.float32], first_label: int) -> tuple[str, ...]:
    """A label in the trial that none of the names stands for: the names aren't this network's."""
    last = int(labels.max()) - first_label if labels.size else -1
    if facts.class_count is None or last < facts.class_count:
        return ()
    return (
        f"which classes it has: the trial gave class {last} (from 0), {facts.class_count} are named: pass --classes",
    )


def normalises_inside(facts: GraphFacts) -> bool:
    """Whether ImageNet's mean or deviation is part of the graph, before its first layer."""
    return any(step.constant is not None and _is_imagenet(step.constant) for step in facts.stem)


def _is_imagenet(constant: Sequence[float]) -> bool:
    known = np.array([IMAGENET_MEAN, IMAGENET_STD])
    found = np.abs(np.asarray(constant, np.float64))
    if len(found) != 3:
        return False
    candidates = np.concatenate([known, known * 255, 1 / known, known[:1] / known[1:]])
    return bool(np.isclose(candidates, found, rtol=1e-2).all(axis=1).any())


def metadata_dict(facts: GraphFacts, key: str) -> dict[str, Any]:
    """A metadata value that is a JSON object; empty where there is none."""
    try:
        value = json.loads(facts.metadata.get(key, ""))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def model_family(facts: GraphFacts) -> str:
    """Model family that libreyolo writes into the metadata; empty elsewhere."""
    return facts.metadata.get("model_family", "")


def said(facts: GraphFacts, option: str) -> bool:
    """Whether the user decided this preprocessing option."""
    return getattr(facts.options, option) is not None
