"""Which pictures a folder has already, by their perceptual hashes.

Two pictures are one too many when they look alike *and* the model found the same in them: a burr of a few pixels
changes neither brightness nor outline of a part, and so no bit of its hash.

How much is alike fits the line. Triggered frames show different parts; where these look more alike than copies of one
picture do, as parts in one fixture, the limit is half of what the nearest ones differ in (`fitting_limit`). Frames of
a free-running camera may show one part many times and say nothing of that.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from appliance.learning.datasets.perceptual_hash import Hashes, distances, fitting_limit

_SAMPLE = 256
_HASH_BYTES = 32

Kind = tuple[str, str]
"""Camera, and what was found."""
ANYTHING: Kind = ("", "")
"""Of a picture of which nobody knows where it comes from: it may be of any kind."""


class Likeness:
    """Not thread-safe.

    Args:
        alike_bits: Fixed limit; None: it fits itself to the line.
    """

    def __init__(self, alike_bits: int | None = None) -> None:
        self._fixed = alike_bits
        self._held: defaultdict[Kind, list[tuple[str, Hashes]]] = defaultdict(list)
        self._sample: list[Hashes] = []
        self._nearest: list[int] = []

    @property
    def limit_bits(self) -> int:
        """Pictures that differ in no more bits are alike."""
        return self._fixed if self._fixed is not None else fitting_limit([b for b in self._nearest if b >= 0])[0]

    def add(self, kind: Kind, name: str, look: Hashes) -> None:
        """Remember a picture that the folder has."""
        self._held[kind].append((name, look))

    def learn(self, look: Hashes) -> None:
        """Take a frame that shows a part of its own into account for the limit; the very same look says nothing."""
        if self._sample:
            apart = distances(look, np.stack(self._sample))
            if not apart.min():
                return
            self._nearest = [
                int(bits) if before < 0 else min(before, int(bits))
                for before, bits in zip(self._nearest, apart, strict=True)
            ]
            self._nearest.append(int(apart.min()))
        else:
            self._nearest.append(-1)
        self._sample.append(look)
        if len(self._sample) > _SAMPLE:
            del self._sample[0], self._nearest[0]

    def find(self, kind: Kind, look: Hashes, limit_bits: int) -> tuple[str, int] | None:
        """Return the picture that is nearest to a look, and by how many bits, if it is within the limit."""
        held = [*self._held[kind], *self._held[ANYTHING]]
        if not held:
            return None
        apart = distances(look, np.stack([each for _, each in held]))
        best = int(apart.argmin())
        return (held[best][0], int(apart[best])) if apart[best] <= limit_bits else None


def as_text(look: Hashes) -> str:
    """Write a hash as 64 hexadecimal digits."""
    return look.tobytes().hex()


def from_text(text: str) -> Hashes:
    """Read what `as_text` wrote.

    Raises:
        ValueError: It is something else.
    """
    content = bytes.fromhex(text)
    if len(content) != _HASH_BYTES:
        raise ValueError(f"expected {2 * _HASH_BYTES} hexadecimal digits, got {len(text)}")
    return np.frombuffer(content, np.uint64)
