"""At which score a part is NG: chosen on the validation parts, turned in every way that the network has learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage, read_image
from appliance.learning.evaluation.detecting import LOWEST_SCORE
from appliance.learning.evaluation.threshold import WhatIf
from appliance.modelling import Detections
from appliance.modelling.detector import Detector
from appliance.modelling.pixels import Pixels

UPRIGHT = (0,)
FLIPPED = (0, 1, 2, 3)
EVERY_WAY = (0, 1, 2, 3, 4, 5, 6, 7)
_WORDS = {1: "as they are", 4: "in their four flips", 8: "in their eight orientations"}


def choose_score(
    detector: Detector, images: Sequence[LabelledImage], views: Sequence[int], progress: Callable[[int, int], None]
) -> tuple[float, str]:
    """Return the score with the least sum of escape rate and false-reject rate, and how it was chosen, in words.

    Args:
        views: Orientations: 1 flips left and right, 2 up and down, 4 turns; their sums.
        progress: Called with images done and images in all.
    Raises:
        DatasetError: An image can't be read.
        ModelError: The model failed.
    """
    truths: list[LabelledImage] = []
    found: list[Detections] = []
    for done, image in enumerate(images, start=1):
        pixels, pixel_format = read_image(image.path)
        turned = [turn(image, pixels, view) for view in views]
        truths += [truth for truth, _ in turned]
        found += detector.detect([seen for _, seen in turned], pixel_format=pixel_format, score=LOWEST_SCORE)
        progress(done, len(images))
    what_if = WhatIf.of(truths, found)
    chosen = what_if.choose()
    assert chosen is not None  # without limits there is always a best one
    rates = "escape rate and false-reject rate" if len(what_if.ok_scores) else "escape rate; there is no OK part"
    return chosen.score, f"on the validation parts {_WORDS[len(views)]}: least sum of {rates}"


def turn(image: LabelledImage, pixels: Pixels, view: int) -> tuple[LabelledImage, Pixels]:
    """Return the truth and the pixels (H, W, …) of one of the eight orientations; each view is a part of its own."""
    boxes = image.boxes
    if view & 1:
        pixels = pixels[:, ::-1]
        boxes = _mirrored(boxes, pixels.shape[1], 0)
    if view & 2:
        pixels = pixels[::-1]
        boxes = _mirrored(boxes, pixels.shape[0], 1)
    if view & 4:
        pixels = pixels.swapaxes(0, 1)
        boxes = boxes[:, [1, 0, 3, 2]]
    part = image.part if view == 0 else f"{image.part} view {view}"
    return replace(image, boxes=boxes, part=part, size_px=None, places=()), pixels.copy()


def _mirrored(boxes: NDArray[np.float32], length_px: int, axis: int) -> NDArray[np.float32]:
    result = boxes.copy()
    result[:, axis], result[:, axis + 2] = length_px - boxes[:, axis + 2], length_px - boxes[:, axis]
    return result
