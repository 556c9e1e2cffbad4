"""Parts out of images: a part is NG when any of its images is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage


@dataclass(frozen=True)
class Parts:
    """The parts of a set, in order of their first image.

    Attributes:
        names: (P,) of the parts.
        of_image: (I,) int64, the part of each image.
        is_ok, is_ng: (P,) bool. A part whose only boxes are ignored ones is neither, and counts nowhere.
    """

    names: tuple[str, ...]
    of_image: NDArray[np.int64]
    is_ok: NDArray[np.bool_]
    is_ng: NDArray[np.bool_]

    @classmethod
    def of(cls, images: Sequence[LabelledImage]) -> Parts:
        """Group images by their part."""
        places: dict[str, int] = {}
        of_image = np.array([places.setdefault(image.part, len(places)) for image in images], np.int64)
        is_ng, is_unclear = np.zeros(len(places), np.bool_), np.zeros(len(places), np.bool_)
        np.logical_or.at(is_ng, of_image, [image.is_ng for image in images])
        np.logical_or.at(is_unclear, of_image, [not image.is_ok for image in images])
        return cls(tuple(places), of_image, ~is_unclear, is_ng)

    def __len__(self) -> int:
        return len(self.names)

    def any(self, of_images: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (P,) bool: whether it is so for any image of the part."""
        result = np.zeros(len(self), np.bool_)
        np.logical_or.at(result, self.of_image, of_images)
        return result

    def highest(self, of_images: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (P,) float64: the highest value of the part's images."""
        result = np.full(len(self), -np.inf)
        np.maximum.at(result, self.of_image, of_images)
        return result

    def counts(self, image_count: int) -> dict[str, Any]:
        """Return how many there are of what."""
        return {
            "images": image_count,
            "parts": len(self),
            "ng_parts": int(self.is_ng.sum()),
            "ok_parts": int(self.is_ok.sum()),
            "unclear_parts": int((~self.is_ng & ~self.is_ok).sum()),
        }
