"""What is missing in a set before anybody waits hours for a model of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from appliance.learning.datasets import Dataset, LabelledImage
from appliance.learning.evaluation.intervals import Rate
from appliance.learning.evaluation.parts import Parts
from appliance.learning.training_run.division import Division

FEW_DEFECTS = 50
SMALL_PX = 8.0
"""Of a defect in the network's input: smaller ones have hardly a grid cell of their own."""


def advise(division: Division, input_px: tuple[int, int], image_px: tuple[int, int]) -> list[str]:
    """Return warnings, each a sentence that says what to do; none where the set is fine."""
    return [
        *_good_parts(division),
        *_rare_classes(division.train),
        *_small_defects(division.train.images, input_px, image_px),
        *_uncertain(division.val),
    ]


def _good_parts(division: Division) -> Iterator[str]:
    for split, dataset, why in (
        ("train", division.train, "a model that never saw a good part calls many of them NG"),
        ("val", division.val, "the score is chosen by escapes alone, and false rejects can't be measured"),
    ):
        if not any(image.is_ok for image in dataset.images):
            yield f"no OK parts in split {split}: {why}; add images of good parts, with empty labels"


def _rare_classes(train: Dataset) -> Iterator[str]:
    counts = Counter(int(class_id) for image in train.images for class_id in image.class_ids)
    rare = {name: counts[index] for index, name in enumerate(train.class_names) if counts[index] < FEW_DEFECTS}
    if rare:
        listed = ", ".join(f"{name} {count}" for name, count in rare.items())
        yield f"few defects to learn from: {listed}; below {FEW_DEFECTS} of a class expect little of it, label more"


def _small_defects(
    images: Sequence[LabelledImage], input_px: tuple[int, int], image_px: tuple[int, int]
) -> Iterator[str]:
    boxes = np.concatenate([image.boxes for image in images])
    scale = min(1.0, input_px[0] / image_px[0], input_px[1] / image_px[1])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) * scale
    if small := int((longer < SMALL_PX).sum()):
        yield (
            f"{small} of {len(longer)} defects are smaller than {SMALL_PX:g} px in the network's input: a larger "
            "--size, or tiles, show them larger"
        )


def _uncertain(val: Dataset) -> Iterator[str]:
    parts = Parts.of(val.images)
    ng_parts = int(parts.is_ng.sum())
    if ng_parts and (ends := Rate(0, ng_parts).ci95) is not None and ends[1] > 0.05:
        yield f"{ng_parts} NG parts to choose the score by: 0 escapes there still mean up to {ends[1]:.1%}"
