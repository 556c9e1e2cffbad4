"""Positive evidence: is this frame a new, usable picture at all? OK may only be said of one that is.

Measured on every `ROW_STEP`-th row at full horizontal resolution, counted upwards from the last row, so that a
frame whose end is missing always shows it. All grey values are on a scale of 0..255, whatever the pixel format.
"""

import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.config import EvidenceLimits
from appliance.messages import Reason, Trigger
from appliance.modelling.pixels import to_mono8
from appliance.ring import Pixels

ROW_STEP = 8
_LONGEST_WINDOW = 64  # of any recipe
BAYER_ROW_STEP = 9  # odd, so that red-green and green-blue rows alternate in the sample


@dataclass(frozen=True)
class Evidence:
    """What was measured in one frame.

    Attributes:
        mean_grey: 0..255; of RGB8 the luma, of BayerRG8 the mean over all colours.
        saturated_fraction: 0..1 of the samples that are white; of RGB8 each channel is a sample.
        sharpness: Mean absolute grey difference of horizontal neighbours (BayerRG8: of the same colour).
        dead_row_fraction: 0..1 of the sampled rows that end the frame in one single grey value.
        fingerprint: CRC-32 of the sampled pixels: equal for equal pictures.
    """

    mean_grey: float
    saturated_fraction: float
    sharpness: float
    dead_row_fraction: float
    fingerprint: int


@dataclass(frozen=True)
class Doubt:
    """Why no OK may be said of a frame.

    Attributes:
        check: Name of the check that failed, for counters.
        reason: What the verdict's reason will be.
        detail: Measured value and limit, for people.
    """

    check: str
    reason: Reason
    detail: str


def measure(pixels: Pixels, pixel_format: str) -> Evidence:
    """Measure one frame; the frame is borrowed and not kept.

    Args:
        pixels: (H, W) uint8 of Mono8 or BayerRG8, (H, W) uint16 of Mono16, (H, W, 3) uint8 of RGB8.
        pixel_format: PFNC name.
    """
    is_bayer = pixel_format == "BayerRG8"
    step = BAYER_ROW_STEP if is_bayer else ROW_STEP
    sample: Pixels = pixels[(len(pixels) - 1) % step :: step].copy()
    grey = to_mono8(sample, "Mono8" if is_bayer else pixel_format)  # Bayer raw: each colour is a grey value
    white = sample if sample.ndim == 3 else grey
    return Evidence(
        mean_grey=cv2.mean(grey)[0],
        saturated_fraction=np.count_nonzero(white == 255) / white.size,
        sharpness=_neighbour_difference(grey, distance=2 if is_bayer else 1),
        dead_row_fraction=_trailing_flat_rows(grey) / len(grey),
        fingerprint=zlib.crc32(sample.data),
    )


def _neighbour_difference(grey: NDArray[np.uint8], distance: int) -> float:
    if grey.shape[1] <= distance:
        return 0.0
    left, right = grey[:, :-distance], grey[:, distance:]
    return cv2.norm(right, left, cv2.NORM_L1) / left.size


def _trailing_flat_rows(grey: NDArray[np.uint8]) -> int:
    textured_rows = np.flatnonzero((grey != grey[-1, -1]).any(axis=1))
    return len(grey) - 1 - int(textured_rows[-1]) if len(textured_rows) else len(grey)


def doubt_image(evidence: Evidence, limits: EvidenceLimits) -> Doubt | None:
    """Compare exposure, completeness and sharpness with the recipe's limits; the first that fails is told."""
    checks = (
        ("mean_grey", "mean grey", evidence.mean_grey, limits.mean_grey_min, limits.mean_grey_max),
        ("saturation", "saturated fraction", evidence.saturated_fraction, 0.0, limits.saturated_fraction_max),
        ("truncation", "dead row fraction", evidence.dead_row_fraction, 0.0, limits.dead_row_fraction_max),
        ("sharpness", "sharpness", evidence.sharpness, limits.sharpness_min, float("inf")),
    )
    for check, words, measured, low, high in checks:
        if measured < low:
            return Doubt(check, Reason.IMAGE_INVALID, f"{words} {measured:.4g} is below the limit {low:g}")
        if measured > high:
            return Doubt(check, Reason.IMAGE_INVALID, f"{words} {measured:.4g} is above the limit {high:g}")
    return None


class EvidenceChecker:
    """The checks of one camera; it remembers the camera's last frames to know an old one again.

    Args:
        limits: Of the recipe in use.
    """

    def __init__(self, limits: EvidenceLimits) -> None:
        self._limits = limits
        self._fingerprints: deque[int] = deque(maxlen=_LONGEST_WINDOW)
        self._frame_ids: deque[tuple[int, int]] = deque(maxlen=_LONGEST_WINDOW)

    def check(self, pixels: Pixels, pixel_format: str, trigger: Trigger) -> Doubt | None:
        """Measure one frame, in the order of arrival; None when nothing speaks against it."""
        return self.check_all(pixels, pixel_format, trigger, [self._limits])[1][0]

    def check_all(
        self, pixels: Pixels, pixel_format: str, trigger: Trigger, limits: Sequence[EvidenceLimits]
    ) -> tuple[Evidence, list[Doubt | None]]:
        """Measure one frame, in the order of arrival; gives what was measured, and for each of the limits a doubt."""
        evidence = measure(pixels, pixel_format)
        doubts = [
            doubt_image(evidence, one) or self._doubt_freshness(evidence.fingerprint, trigger, one) for one in limits
        ]
        self._fingerprints.append(evidence.fingerprint)
        self._frame_ids.append((trigger.stream_epoch, trigger.frame_id))
        return evidence, doubts

    def _doubt_freshness(self, fingerprint: int, trigger: Trigger, limits: EvidenceLimits) -> Doubt | None:
        """Look for the frame among the last ones; a camera's counter may wrap, so older ids may come again."""
        window = limits.freshness_window
        frame_id = (trigger.stream_epoch, trigger.frame_id)
        if trigger.frame_id and frame_id in islice(reversed(self._frame_ids), window):
            told = f"frame_id {trigger.frame_id} came before, within the last {window} frames of this stream"
            return Doubt("frame_id_repeated", Reason.STALE_FRAME, told)
        recent = list(islice(reversed(self._fingerprints), window))
        if fingerprint in recent:
            ago = 1 + recent.index(fingerprint)
            told = f"the same pixels as {ago} frame{'s' if ago > 1 else ''} before, limit: none of the last {window}"
            return Doubt("pixels_repeated", Reason.STALE_FRAME, told)
        return None
