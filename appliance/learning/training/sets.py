"""The pictures that a plan names: what is learnt from, and what the run is checked on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset, read_dataset
from appliance.learning.training.plan import Plan


def read_sets(plan: Plan) -> tuple[Dataset, Dataset]:
    """Read both sets, their classes numbered as the plan numbers them.

    Raises:
        DatasetError: A set, a split or a class isn't there, or nothing is left for one of the two.
    """
    if plan.train_split is not None and plan.val_split is not None:
        train, val = (_read(plan, split) for split in (plan.train_split, plan.val_split))
    else:
        train, val = _divided(_read(plan, None), plan.val_share, plan.seed)
    if not any(image.is_ng for image in train.images):
        raise DatasetError(f"data set {plan.dataset}: expected labelled defects to learn from, got none")
    return train, val


def _read(plan: Plan, split: str | None) -> Dataset:
    # Without a split of its own the whole set is wanted, not the one that a reader would prefer.
    preferred: tuple[str, ...] = ()
    dataset = read_dataset(Path(plan.dataset), file_format=plan.file_format, split=split, preferred=preferred)
    return dataset.for_classes(plan.class_names)


def _divided(whole: Dataset, val_share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Keep some parts back, all images of a part together; the same seed keeps the same ones back."""
    names = sorted({image.part for image in whole.images})
    kept = max(1, round(len(names) * val_share))
    if kept >= len(names):
        raise DatasetError(f"data set {whole.folder}: expected at least 2 parts to divide, got {len(names)}")
    chosen = {names[place] for place in np.random.default_rng(seed).permutation(len(names))[:kept]}
    train, val = (
        tuple(image for image in whole.images if (image.part in chosen) == is_val) for is_val in (False, True)
    )
    return replace(whole, split="train", images=train), replace(whole, split="val", images=val)
