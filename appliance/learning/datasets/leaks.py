"""Leaks between splits: the same part, the same bytes, or a near-duplicate on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from appliance.learning.datasets.dataset import LabelledImage
from appliance.learning.datasets.finding import Finding
from appliance.learning.datasets.perceptual_hash import ALIKE_BITS, BITS, Hashes, distances

_SAMPLE = 200  # images of one split that tell how much alike a set's images are


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
    usual = _usual_distance(looks)
    if usual <= 2 * ALIKE_BITS:
        what = (
            f"its images differ from each other in {usual:g} of {BITS} bits only (parts in one place, in one light): "
            "near-duplicates between splits can't be told from different parts; give parts ids"
        )
        yield Finding(str(looks[0].image.path.parent), "", "untold_near_duplicates", what)
        return
    hashes = np.stack([look.hash for look in looks])
    splits = np.array([str(look.split) for look in looks])
    for place, look in enumerate(looks):
        earlier = np.flatnonzero(splits[:place] != splits[place])
        if not len(earlier):
            continue
        apart = distances(look.hash, hashes[earlier])
        nearest = int(apart.argmin())
        other = looks[int(earlier[nearest])]
        if apart[nearest] <= ALIKE_BITS and other.digest != look.digest:
            what = (
                f"in split {look.split!r}; looks like {other.image.path} of split {other.split!r}: "
                f"{apart[nearest]} of {BITS} bits differ, up to {ALIKE_BITS} is a near-duplicate"
            )
            yield Finding(str(look.image.path), "", "leak_near_duplicate", what)


def _usual_distance(looks: Sequence[Look]) -> float:
    """Return the median distance of images of the largest split, evenly chosen; without bound for a single one."""
    by_split: dict[str | None, list[Look]] = defaultdict(list)
    for look in looks:
        by_split[look.split].append(look)
    largest = max(by_split.values(), key=len)
    chosen = np.stack([largest[int(i)].hash for i in np.linspace(0, len(largest) - 1, min(len(largest), _SAMPLE))])
    apart = [distances(one, chosen[place + 1 :]) for place, one in enumerate(chosen[:-1])]
    return float(np.median(np.concatenate(apart))) if apart else float("inf")
