"""At which score a part is NG: chosen on the validation parts, turned in every way that the network has learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage, read_image
from appliance.learning.datasets.orientation import turned
from appliance.learning.evaluation.detecting import LOWEST_SCORE
from appliance.learning.evaluation.threshold import WhatIf
from appliance.modelling import Detections
from appliance.modelling.detector import Detector
from appliance.modelling.pixels import Pixels

UPRIGHT = (0,)
MIRRORED = (0, 1)
FLIPPED = (0, 1, 2, 3)
EVERY_WAY = (0, 1, 2, 3, 4, 5, 6, 7)
_WORDS = {1: "as they are", 2: "and their mirror images", 4: "in their four flips", 8: "in their eight orientations"}


def choose_score(
    detector: Detector, images: Sequence[LabelledImage], views: Sequence[int], progress: Callable[[int, int], None]
) -> tuple[float, str]:
    """Return the score with the least sum of escape rate and false-reject rate, and how it was chosen, in words.

    Args:
        views: Orientations, as `turned` takes them.
        progress: Called with images done and images in all.
    Raises:
        DatasetError: An image can't be read.
        ModelError: The model failed.
    """
    truths: list[LabelledImage] = []
    found: list[Detections] = []
    for done, image in enumerate(images, start=1):
        pixels, pixel_format = read_image(image.path)
        seen = [_turned(image, pixels, view) for view in views]
        truths += [truth for truth, _ in seen]
        found += detector.detect([one for _, one in seen], pixel_format=pixel_format, score=LOWEST_SCORE)
        progress(done, len(images))
    what_if = WhatIf.of(truths, found)
    chosen = what_if.choose()
    assert chosen is not None  # without limits there is always a best one
    rates = "escape rate and false-reject rate" if len(what_if.ok_scores) else "escape rate; there is no OK part"
    return chosen.score, f"on the validation parts {_WORDS[len(views)]}: least sum of {rates}"


def _turned(image: LabelledImage, pixels: Pixels, view: int) -> tuple[LabelledImage, Pixels]:
    """Return the truth and the pixels of one orientation; each is a part of its own."""
    either_depth: NDArray[Any] = pixels
    seen, boxes = turned(either_depth, image.boxes, view)
    part = image.part if view == 0 else f"{image.part} view {view}"
    return replace(image, boxes=boxes, part=part, size_px=None, places=()), seen
