"""Random numbers by name: what one step draws never changes what another one gets."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]
"""Least and most of an evenly drawn value."""


class Draws:
    """One named stream of random numbers of one part.

    Args:
        seed: The part's.
        name: The step that draws, such as "noise". Another name is another stream.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.generator = np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))

    def within(self, limits: Range) -> float:
        """Draw evenly between two limits."""
        return float(self.generator.uniform(*limits))

    def chance(self, share: float) -> bool:
        """Return whether something happens that happens in this share of cases."""
        return bool(self.generator.random() < share)

    def sign(self) -> float:
        """Draw -1 or 1."""
        return 1.0 if self.chance(0.5) else -1.0

    def pick(self, count: int) -> int:
        """Draw an index below `count`."""
        return int(self.generator.integers(count))

    def field(self, height: int, width: int) -> NDArray[np.float32]:
        """Draw a (height, width) float32 field of mean 0 and deviation 1, no pixel like its neighbour."""
        return self.generator.standard_normal((height, width), dtype=np.float32)

    def smooth(self, count: int, length: float) -> NDArray[np.float64]:
        """Draw (count,) float64 values of deviation 1 that change over about `length` steps."""
        reach = max(1, round(2 * length))
        window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(length, 0.3)) ** 2)
        values = self.generator.standard_normal(count + 2 * reach)
        smoothed: NDArray[np.float64] = np.convolve(values, window / np.sqrt((window**2).sum()), "valid")
        return smoothed
