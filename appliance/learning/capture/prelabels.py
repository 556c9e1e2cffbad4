"""The boxes of the model in use as a label file: it has judged the frame already, nobody has to ask it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from appliance.config import Recipe
from appliance.learning.capture.case import Case, Frame
from appliance.learning.datasets.dataset import Labels
from appliance.learning.datasets.voc_writer import annotation
from appliance.learning.datasets.writer import OutputImage

_COLOUR_AXES = 3


def found_classes(case: Case, recipe: Recipe | None) -> list[str]:
    """Name the classes of the boxes that a pre-label will have."""
    return list(dict.fromkeys(name for name, _ in _boxes(case, recipe)))


def prelabel_text(
    case: Case, frame: Frame, recipe: Recipe | None, class_names: Sequence[str], path: Path
) -> str | None:
    """Write what the model found as Pascal VOC.

    Args:
        recipe: The one that judged: a detection above its class's score is a box, also where size or zone acquit it.
        path: Where the picture will be.
    Returns:
        None where the model has said nothing of this frame: a file without boxes would call it an OK part.
    """
    model = case.record["model"] if case.record is not None else None
    if model is None or case.verdict not in ("OK", "NG"):
        return None
    truth = Labels.empty()
    for name, (x1, y1, x2, y2) in _boxes(case, recipe):
        truth.add((x1, y1, x2, y2), name)
    height, width = frame.pixels.shape[:2]
    channels = _COLOUR_AXES if frame.pixels.ndim == _COLOUR_AXES else 1
    image = OutputImage(truth.image(path, class_names), None, path.name, path, (width, height), channels)
    return annotation(image, class_names, f"{model['name']} {model['sha256'][:12]} at the scores of its recipe")


def _boxes(case: Case, recipe: Recipe | None) -> list[tuple[str, Sequence[float]]]:
    rows = list(case.detections("defects"))
    if recipe is not None:
        rules = recipe.classes
        rows += [
            row
            for row in case.detections("near_misses")
            if row["class_name"] in rules and row["score"] >= rules[row["class_name"]].score
        ]
    return [(row["class_name"], row["box_px"]) for row in rows]
