"""The pictures that a plan names: what is learnt from, and what the run is checked on."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset, read_dataset
from appliance.learning.training.plan import Plan


def read_sets(plan: Plan) -> tuple[Dataset, Dataset]:
    """Read both sets, their classes numbered as the plan numbers them.

    Raises:
        DatasetError: A set, a split or a class isn't there, or there is no defect to learn from.
    """
    train, val = (_read(plan, split) for split in (plan.train_split, plan.val_split))
    if not any(image.is_ng for image in train.images):
        raise DatasetError(f"data set {plan.dataset}: expected labelled defects to learn from, got none")
    return train, val


def _read(plan: Plan, split: str) -> Dataset:
    dataset = read_dataset(Path(plan.dataset), file_format=plan.file_format, split=split)
    return dataset.for_classes(plan.class_names)
