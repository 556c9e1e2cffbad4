"""Which images may not be torn apart: those of one part, and those that look alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage, read_image
from appliance.learning.datasets.leaks import alike_limit
from appliance.learning.datasets.perceptual_hash import ALIKE_BITS, Hashes, distances, perceptual_hash

LARGEST_SHARE = 0.2
"""A group of look-alikes with more of the set: the parts themselves look alike, and the limit must be lower."""

Progress = Callable[[int, int], None]


def groups_of(images: Sequence[LabelledImage], progress: Progress = lambda *_: None) -> NDArray[np.int64]:
    """Return (N,) int64, the group of each image: same part, same bytes or near-duplicates, each with each.

    Args:
        progress: Called with images looked at and images in all.
    Raises:
        DatasetError: An image can't be read.
    """
    hashes, digests = [], []
    for done, image in enumerate(images, start=1):
        hashes.append(perceptual_hash(*read_image(image.path)))
        digests.append(hashlib.sha256(image.path.read_bytes()).hexdigest())
        progress(done, len(images))
    table = np.stack(hashes)
    certain = [*_same([image.part for image in images]), *_same(digests)]
    grouped = _joined(len(images), [*certain, *_alike(table, ALIKE_BITS)])
    if np.bincount(grouped).max() > max(LARGEST_SHARE * len(images), 4):
        limit, _ = alike_limit(digests, table, np.zeros(len(images), np.str_))
        grouped = _joined(len(images), [*certain, *_alike(table, limit)])
    return grouped


def _same(keys: Sequence[str]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for place, key in enumerate(keys):
        if (other := first.setdefault(key, place)) != place:
            yield other, place


def _alike(hashes: Hashes, limit: int) -> Iterator[tuple[int, int]]:
    for place in range(1, len(hashes)):
        for other in np.flatnonzero(distances(hashes[place], hashes[:place]) <= limit):
            yield int(other), place


def _joined(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Number the connected groups in the order of their first image."""
    owner = list(range(count))

    def root(place: int) -> int:
        while owner[place] != place:
            owner[place] = owner[owner[place]]
            place = owner[place]
        return place

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        owner[high] = low
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root(place), len(numbers)) for place in range(count)], np.int64)
