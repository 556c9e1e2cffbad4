"""Who wrote a file, by its metadata, and how the libraries bring pictures to their networks."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from appliance.modelling.importer.facts import Preprocessing

if TYPE_CHECKING:
    from appliance.modelling.importer.facts import GraphFacts

Exporter = Literal["ultralytics", "libreyolo", "unknown"]

CENTRED = Preprocessing("RGB8", 255.0, fit="letterbox", resize="linear", pad_value=114)
"""Ultralytics: `LetterBox` in the middle."""
YOLOV5 = replace(CENTRED, fit="letterbox_unrounded")
"""YOLOv5, its own YOLOv3, YOLOv6 and YOLOv7: placed the same, another way back."""
YOLOX = Preprocessing("BGR8", 1.0, fit="letterbox_top_left", resize="linear", pad_value=114)
"""Megvii YOLOX, yolox/data/data_augment.py, preproc."""
DARKNET = replace(CENTRED, fit="letterbox_floor", pad_value=128)
"""darknet, src/image.c, letterbox_image: half-grey beside the picture."""
_TOP_LEFT = replace(CENTRED, fit="letterbox_top_left")
_LIBREYOLO = {
    # Source: libreyolo 1.6, libreyolo/preprocess, libreyolo/models/darknet/preprocess.py; Pillow resizes antialiased
    "yolox": replace(YOLOX, resize="antialiased"),
    "yolo2": replace(_TOP_LEFT, resize="antialiased", pad_value=128),
    "yolo3": replace(_TOP_LEFT, resize="antialiased", pad_value=128),
    "yolo4": replace(_TOP_LEFT, resize="antialiased", pad_value=128),
    "yolo7": replace(_TOP_LEFT, resize="antialiased"),
    "yolo9": _TOP_LEFT,
    "yolo9_p2": _TOP_LEFT,
    "yolo9_e2e": _TOP_LEFT,
}

_ROUNDS_BACK = (8, 4, 124)
"""Since then Ultralytics brings boxes back by the rounded sides of the letterboxed picture."""


def exporter(facts: GraphFacts) -> Exporter:
    """Tell the library that wrote the metadata."""
    if "libreyolo_version" in facts.metadata or "model_family" in facts.metadata:
        return "libreyolo"
    if "ultralytics" in (facts.metadata.get("author", "") + facts.metadata.get("description", "")).lower():
        return "ultralytics"
    return "unknown"


def preprocessing_of(facts: GraphFacts, usual: Preprocessing) -> Preprocessing:
    """How pictures come to this network: as its library does it, less what the graph does itself.

    Args:
        facts: Of the network.
        usual: For networks of its family, where the metadata don't say otherwise.
    """
    wanted = usual
    if exporter(facts) == "libreyolo":
        wanted = _LIBREYOLO.get(facts.metadata.get("model_family", ""), usual)
        if facts.metadata.get("letterbox_pad") == "center":
            wanted = replace(wanted, fit="letterbox_floor")
    if exporter(facts) == "ultralytics":
        wanted = CENTRED if _version(facts) >= _ROUNDS_BACK else replace(CENTRED, fit="letterbox_gain")
    if facts.channels == 1:
        wanted = replace(wanted, pixel_format="Mono8")
    return replace(wanted, divisor=1.0) if _divides_inside(facts) else wanted


def other_task(facts: GraphFacts) -> str | None:
    """Name of the task in the metadata where it isn't the detection of upright boxes."""
    task = facts.metadata.get("task", "detect")
    return None if task == "detect" else task


def _version(facts: GraphFacts) -> tuple[int, ...]:
    numbers = re.findall(r"\d+", facts.metadata.get("version", ""))
    return tuple(map(int, numbers[:3])) or _ROUNDS_BACK


def _divides_inside(facts: GraphFacts) -> bool:
    """Whether the graph brings 0..255 to 0..1 before its first layer."""
    return any(
        step.constant is not None
        and len(set(step.constant)) == 1
        and abs((1 / step.constant[0] if step.operator == "Mul" else step.constant[0]) - 255) < 1
        for step in facts.stem
        if step.operator in ("Div", "Mul") and step.constant and step.constant[0]
    )
