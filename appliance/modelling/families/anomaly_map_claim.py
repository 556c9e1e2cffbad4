"""How exports of the family `anomaly_map` are recognised, and how pictures are prepared for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.evidence import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    is_probability,
    named,
    said,
)
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing, TensorFacts

_Output = tuple[TensorFacts, NDArray[np.float32]]
_SMALLEST_MAP = 8


def recognise(facts: GraphFacts) -> Claim | None:
    """Look for a map of one channel and a picture's width and height, with or without one score for the picture."""
    score_map = named(facts, "anomaly_map") or _only_map(facts)
    if score_map is None:
        return None
    score = named(facts, "pred_score") or _only_score(facts)
    height, width = score_map[1].shape[-2:]
    decode: dict[str, Any] = {"map_axes": score_map[1].ndim, "score_axes": score[1].ndim if score else 0}
    place, place_doubts = _place(facts, width, height)
    preprocessing, doubts = _preprocessing(facts)
    return Claim(
        family="anomaly_map",
        seen=f"a map of {width}x{height} scores{' and a score of the picture' if score else ''}",
        decode={**decode, **place},
        class_count=1,
        class_names=("anomaly",),
        preprocessing=preprocessing,
        score=0.5,
        outputs=tuple(output[0].name for output in (score_map, score) if output is not None),
        doubts=(*doubts, *_scale_doubts(facts, score_map, score), *place_doubts),
    )


def _only_map(facts: GraphFacts) -> _Output | None:
    """Return the one output that is a map; nothing where there are several, as of EfficientAD's parts."""
    maps = [
        (output, np.asarray(array, np.float32))
        for output, array in zip(facts.outputs, facts.trial, strict=True)
        if array.ndim in (3, 4) and min(array.shape[-2:]) >= _SMALLEST_MAP and (array.ndim == 3 or array.shape[1] == 1)
    ]
    if len(maps) != 1 or len(facts.outputs) > 2 or _ratio_differs(facts, *maps[0][1].shape[-2:]):
        return None
    return maps[0]


def _ratio_differs(facts: GraphFacts, height: int, width: int) -> bool:
    """Lists of boxes are (N, K, 4) too; a map has the picture's own ratio."""
    return abs(width * facts.input_height - height * facts.input_width) > max(facts.input_width, facts.input_height)


def _only_score(facts: GraphFacts) -> _Output | None:
    for output, array in zip(facts.outputs, facts.trial, strict=True):
        if array.ndim in (1, 2) and array.size == array.shape[0] and output.dtype.startswith("float"):
            return output, np.asarray(array, np.float32)
    return None


def _scale_doubts(facts: GraphFacts, score_map: _Output, score: _Output | None) -> tuple[str, ...]:
    """A map is normalised where its own mask is what lies above 0.5, or where a clip keeps it in 0..1."""
    if "map_scale" in facts.options.decode:
        return ()
    in_range = is_probability(score_map[1]) and (score is None or is_probability(score[1]))
    mask = named(facts, "pred_mask")
    clipped = any(operator in facts.operators for operator in ("Clip", "Sigmoid", "Min"))
    agrees = mask is not None and np.array_equal(mask[1] > 0.5, score_map[1] > 0.5)
    if in_range and (clipped or agrees):
        return ()
    highest = float(np.nanmax(score_map[1])) if score_map[1].size else float("nan")
    doubt = (
        f"how scores are normalised (the map reaches {highest:.3g} in a trial): pass --decode "
        """map_scale='{"threshold": T, "minimum": A, "maximum": B}' from the library's metadata, or export with it"""
    )
    return (doubt,)


def _place(facts: GraphFacts, width: int, height: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Tell which part of the input a map shows: a smaller one is resized inside, coarser, or of the middle alone."""
    if "crop_px" in facts.options.decode:
        return {}, ()
    inside = {step.operator for step in facts.stem}
    is_whole = (width, height) == (facts.input_width, facts.input_height)
    if "Slice" not in inside and (is_whole or "Resize" in inside):
        return {}, ()
    if "Slice" in inside and "Resize" not in inside:
        return {"crop_px": [width, height]}, ()
    if "Slice" in inside:
        doubt = (
            f"of what it cuts out the middle {width}x{height}: pass --size with the size that it resizes to inside, "
            f"such as 256x256, and --decode crop_px=[{width},{height}]"
        )
        return {}, (doubt,)
    inner, outer = f"{width}x{height}", f"{facts.input_width}x{facts.input_height}"
    doubt = (
        f"whether the map of {inner} covers all of the input of {outer}: pass --decode crop_px=[{width},{height}] for "
        f"a centre crop, or --decode crop_px=[{facts.input_width},{facts.input_height}] if the map is only coarser"
    )
    return {}, (doubt,)


def _preprocessing(facts: GraphFacts) -> tuple[Preprocessing, tuple[str, ...]]:
    """anomalib from 1.1 on has its transforms inside the graph; before, ImageNet's were outside.

    It trains on antialiased pictures; the resize inside its exports isn't, and has nothing to do at the map's size.
    """
    plain = Preprocessing("RGB8", 255.0, fit="stretch", resize="antialiased")
    if facts.stem or facts.image.dtype == "uint8" or (said(facts, "mean") and said(facts, "std")):
        return plain, ()
    imagenet = Preprocessing("RGB8", 255.0, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", resize="antialiased")
    doubt = (
        "what it was trained on: no preprocessing is inside the graph; pass --mean 0.485,0.456,0.406 "
        "--std 0.229,0.224,0.225 (anomalib before 1.1), or --mean 0 --std 1"
    )
    return imagenet, (doubt,)
