"""One deviation of a part, as geometry: what is added to the foil, cut away, or lies on the surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.learning.tabs.outline import Points
from appliance.learning.tabs.surface import Mark


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A defect, or a harmless variation of the same kind below the limit.

    Attributes:
        kind: One of `CLASS_NAMES`.
        size_mm: As `Limits.size_mm` defines it for the class.
        limit_mm: The limit that held for it.
        added, removed: Polygons in mm that join the foil or are cut out of it.
        mark: What changes the surface instead.
    """

    kind: str
    size_mm: float
    limit_mm: float
    added: tuple[Points, ...] = ()
    removed: tuple[Points, ...] = ()
    mark: Mark | None = None

    @property
    def is_large_enough(self) -> bool:
        """Whether its size reaches the limit; its contrast must too before it is a labelled defect."""
        return self.size_mm >= self.limit_mm

    def extent(self) -> Points:
        """Return points in mm around everything that it changes."""
        marked = () if self.mark is None else (self.mark.extent(),)
        return np.concatenate([*self.added, *self.removed, *marked])
