"""Leaks between splits: the same part, the same bytes, or a near-duplicate on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets.dataset import LabelledImage
from appliance.learning.datasets.finding import Finding
from appliance.learning.datasets.perceptual_hash import ALIKE_BITS, BITS, Hashes, distances, fitting_limit


@dataclass(frozen=True)
class Look:
    """One image of a split, as far as leaks go.

    Attributes:
        digest: SHA-256 of the file.
        hash: (4,) uint64, see `perceptual_hash`.
    """

    split: str | None
    image: LabelledImage
    digest: str
    hash: Hashes


def find_leaks(looks: Sequence[Look]) -> Iterator[Finding]:
    """Yield each image that another split has too, once for each way in which it does."""
    if len({look.split for look in looks}) < 2:
        return
    with_parts = [look for look in looks if look.image.has_part]
    yield from _shared(with_parts, "leak_same_part", lambda look: look.image.part, "part {key!r} is")
    yield from _shared(looks, "leak_same_bytes", lambda look: look.digest, "the same bytes are")
    yield from _near_duplicates(looks)


def _shared(looks: Sequence[Look], kind: str, key: Callable[[Look], Hashable], words: str) -> Iterator[Finding]:
    groups: dict[Hashable, list[Look]] = defaultdict(list)
    for look in looks:
        groups[key(look)].append(look)
    for shared, group in groups.items():
        first = group[0]
        for look in group[1:]:
            if look.split != first.split:
                told = words.format(key=shared)
                what = f"in split {look.split!r}; {told} in split {first.split!r} too: {first.image.path}"
                yield Finding(str(look.image.path), "", kind, what)


def _near_duplicates(looks: Sequence[Look]) -> Iterator[Finding]:
    hashes = np.stack([look.hash for look in looks])
    splits = np.array([str(look.split) for look in looks])
    limit, usual = alike_limit([look.digest for look in looks], hashes, splits)
    if limit < ALIKE_BITS:
        what = (
            f"different parts look alike (the nearest within a split differ in {usual:g} of {BITS} bits): between "
            f"splits only images that differ in up to {limit} are called near-duplicates; ids of parts would tell more"
        )
        yield Finding(str(looks[0].image.path.parent), "", "parts_look_alike", what)
    for place, look in enumerate(looks):
        nearest, bits = _nearest(hashes, place, np.flatnonzero(splits[:place] != splits[place]))
        if bits > limit or looks[nearest].digest == look.digest:
            continue
        other = looks[nearest]
        what = (
            f"in split {look.split!r}; looks like {other.image.path} of split {other.split!r}: "
            f"{bits} of {BITS} bits differ, up to {limit} is a near-duplicate"
        )
        yield Finding(str(look.image.path), "", "leak_near_duplicate", what)


def alike_limit(file_digests: Sequence[str], hashes: Hashes, splits: NDArray[np.str_]) -> tuple[int, float]:
    """Return the limit for this set, and how near different images of one split usually come at the nearest."""
    bits = []
    digests = np.array(file_digests)
    for place in range(len(digests)):
        others = np.flatnonzero((splits == splits[place]) & (digests != digests[place]))
        if len(others):
            bits.append(_nearest(hashes, place, others)[1])
    return fitting_limit(bits)


def _nearest(hashes: Hashes, place: int, candidates: NDArray[np.intp]) -> tuple[int, int]:
    """Return which candidate is nearest to an image, and in how many bits it differs; more than all without any."""
    if not len(candidates):
        return place, BITS + 1
    apart = distances(hashes[place], hashes[candidates])
    best = int(apart.argmin())
    return int(candidates[best]), int(apart[best])
