"""Which images teach, which choose and which only measure: the set's own splits, or a seeded division by part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset, LabelledImage, read_every_split
from appliance.learning.training_run.grouping import Progress, groups_of

_SYNONYMS = {"valid": "val"}


@dataclass(frozen=True)
class Shares:
    """How a set without splits is divided; the rest teaches.

    Attributes:
        seed: The same seed divides in the same way.
    """

    val: float = 0.2
    test: float = 0.0
    seed: int = 7


@dataclass(frozen=True)
class Division:
    """The images of a training run.

    Attributes:
        train, val, test: All with the same class names in the same order; test is None where nothing is kept back.
        is_own: Whether the splits train and val are the set's own.
        notes: How it came about, each a sentence.
    """

    train: Dataset
    val: Dataset
    test: Dataset | None
    is_own: bool
    notes: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the class ids."""
        return self.train.class_names

    @property
    def splits(self) -> dict[str, Dataset]:
        """By name."""
        there = {"train": self.train, "val": self.val}
        return there if self.test is None else {**there, "test": self.test}


def divide(
    folder: Path,
    shares: Shares,
    *,
    file_format: str = "auto",
    class_names: tuple[str, ...] = (),
    progress: Progress = lambda *_: None,
) -> Division:
    """Read a set and divide it.

    Args:
        file_format, class_names: As in `read_dataset`.
        progress: While images are compared: images done and images in all.
    Raises:
        DatasetError: The set can't be read, has splits but none to train on, or too few parts to divide; or a class
            can't be learned because no training image shows it.
    """
    read = read_every_split(folder, file_format=file_format, class_names=class_names)
    named = {_SYNONYMS.get(str(one.split), one.split): one for one in read}
    notes = list(dict.fromkeys(note for one in read for note in one.notes))
    if None not in named and "train" not in named:
        raise DatasetError(f"data set {folder}: expected a split train, got {', '.join(map(str, named))}")
    source = named.get("train") or named[None]
    test, is_own = named.get("test"), "val" in named
    if is_own:
        train, val = source, named["val"]
    else:
        train, val, kept = _divided(source, shares, progress, has_test=test is not None)
        test = test or kept
        notes.append(_told(train, val, kept, shares))
    names = _learnable(train, [one for one in (val, test) if one is not None])
    return Division(
        _named(train, names, "train"),
        _named(val, names, "val"),
        _named(test, names, "test") if test is not None else None,
        is_own,
        tuple(notes),
    )


def _divided(
    source: Dataset, shares: Shares, progress: Progress, *, has_test: bool
) -> tuple[Dataset, Dataset, Dataset | None]:
    groups = groups_of(source.images, progress)
    test_share = 0.0 if has_test else shares.test
    places = _places(source.images, groups.tolist(), (test_share, shares.val), shares.seed)
    parts = [
        tuple(image for image, place in zip(source.images, places, strict=True) if place == which) for which in range(3)
    ]
    kept, val, train = parts
    if not train or not val or (test_share > 0 and not kept):
        raise DatasetError(
            f"data set {source.folder}: {len(source.images)} images in {int(groups.max()) + 1} groups of parts that "
            f"don't look alike are too few to divide; give it splits train and val, or label more parts"
        )
    return replace(source, images=train), replace(source, images=val), replace(source, images=kept) if kept else None


def _places(
    images: Sequence[LabelledImage], groups: Sequence[int], shares: tuple[float, float], seed: int
) -> list[int]:
    """Return for each image 0, 1 or 2: the first share, the second, the rest; whole groups, each kind in proportion."""
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    kinds: dict[int, list[int]] = defaultdict(list)
    rarity = np.bincount(np.concatenate([image.class_ids for image in images]).astype(np.int64), minlength=1)
    for group, its_places in members.items():
        kinds[_kind([images[place] for place in its_places], rarity)].append(group)
    rng = np.random.default_rng(seed)
    chosen = [2] * len(images)
    for kind in sorted(kinds):
        order = [kinds[kind][place] for place in rng.permutation(len(kinds[kind]))]
        total, taken = sum(len(members[group]) for group in order), 0
        for group in order:
            middle = (taken + len(members[group]) / 2) / total
            which = next((place for place in range(2) if middle < sum(shares[: place + 1])), 2)
            for place in members[group]:
                chosen[place] = which
            taken += len(members[group])
    return chosen


def _kind(images: Sequence[LabelledImage], rarity: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Return the rarest class of a group's images; -1 for good ones."""
    shown = {int(class_id) for image in images for class_id in image.class_ids}
    return min(shown, key=lambda class_id: (rarity[class_id], class_id), default=-1)


def _told(train: Dataset, val: Dataset, kept: Dataset | None, shares: Shares) -> str:
    tested = f", {len(kept.images)} to measure on" if kept else ""
    return (
        f"the set has no split val: divided by part with seed {shares.seed}, images that look alike kept on one side: "
        f"{len(train.images)} images to train on, {len(val.images)} to choose by{tested}"
    )


def _learnable(train: Dataset, others: Sequence[Dataset]) -> tuple[str, ...]:
    names = tuple(train.used_names)
    if not names:
        raise DatasetError(f"data set {train.folder}: expected boxes to learn from in split train, got none")
    if unseen := sorted({name for one in others for name in one.used_names} - set(names)):
        raise DatasetError(
            f"data set {train.folder}: class {', '.join(map(repr, unseen))} is in split val or test, but no image of "
            "split train shows it; divide it anew, or take the class out"
        )
    return names


def _named(dataset: Dataset, names: tuple[str, ...], split: str) -> Dataset:
    return replace(dataset.for_classes(names), split=split)
