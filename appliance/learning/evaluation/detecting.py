"""Run a model over labelled images, as the inspection path would."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.errors import DatasetError
from appliance.learning.datasets import LabelledImage, read_image
from appliance.modelling import Detections
from appliance.modelling.detector import Detector
from appliance.modelling.pixels import Pixels

LOWEST_SCORE = 0.001  # average precision needs the whole ranking; what is weaker can't change its third decimal
BATCH = 8

Progress = Callable[[int, int], None]
"""Called with images done and images in all."""


def detect_all(
    detector: Detector, images: Sequence[LabelledImage], score: float, progress: Progress | None = None
) -> tuple[list[Detections], list[tuple[int, int]]]:
    """Run a detector over image files.

    Args:
        score: Detections below it are dropped. For a detector `LOWEST_SCORE`; for an anomaly model the operating
            point's, because regions of a map grow together at lower scores.

    Returns:
        Detections and size (width, height) in px of each image, in the same order.
    Raises:
        DatasetError: An image can't be read, or has another size than its label says.
        ModelError: The model failed.
    """
    found: list[Detections] = []
    sizes: list[tuple[int, int]] = []
    step = detector.session.max_batch
    for first in range(0, len(images), step):
        batch = [_read(image) for image in images[first : first + step]]
        sizes += [(pixels.shape[1], pixels.shape[0]) for pixels, _ in batch]
        for run in _runs(batch):
            found += detector.detect([pixels for pixels, _ in run], pixel_format=run[0][1], score=score)
        if progress is not None:
            progress(len(found), len(images))
    return found, sizes


def _runs(batch: list[tuple[Pixels, str]]) -> list[list[tuple[Pixels, str]]]:
    """Cut a batch where the pixel format changes; nearly always it doesn't."""
    runs = [batch[:1]]
    for item in batch[1:]:
        if item[1] == runs[-1][0][1]:
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _read(image: LabelledImage) -> tuple[Pixels, str]:
    pixels, pixel_format = read_image(image.path)
    got = (pixels.shape[1], pixels.shape[0])
    if image.size_px is not None and image.size_px != got:
        raise DatasetError(
            f"image {image.path}: its label was made for {image.size_px[0]}x{image.size_px[1]} px, "
            f"the image has {got[0]}x{got[1]}; label it again, or restore the image that was labelled"
        )
    return pixels, pixel_format
