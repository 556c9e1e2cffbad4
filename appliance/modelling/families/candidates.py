"""What detectors that need no grid maths share: boxes in many notations, and the best of them for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch
from appliance.modelling.detections import Detections, in_frame
from appliance.modelling.families.suppression import suppress
from appliance.modelling.placement import Placement

BoxForm = Literal["xyxy_px", "cxcywh_px", "xyxy_normalised", "cxcywh_normalised", "yxyx_normalised"]
"""Corners or centre and size, in px of the model input or as shares of its width and height."""


def to_corners(boxes: NDArray[np.float32], form: BoxForm, width_px: int, height_px: int) -> NDArray[np.float32]:
    """Bring (K, 4) boxes of any form to x1 y1 x2 y2 in px of the model input.

    Args:
        boxes: (K, 4) float32.
        form: Their notation.
        width_px, height_px: Size of the model input.
    """
    if form.startswith("yxyx"):
        boxes = boxes[:, [1, 0, 3, 2]]
    elif form.startswith("cxcywh"):
        half = boxes[:, 2:] * np.float32(0.5)
        boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    if form.endswith("normalised"):
        boxes = boxes * np.array([width_px, height_px] * 2, np.float32)
    return boxes


def best_in_frame(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    place: Placement,
    *,
    score: float,
    max_detections: int,
    nms_iou: float | None = None,
) -> Detections:
    """Choose the best candidates of one frame and bring them to frame pixels.

    Args:
        boxes: (K, 4) float32 xyxy in px of the model input.
        scores, class_ids: (K,) of the same candidates.
        place: How the frame lies in the model input.
        score: Candidates below it are dropped; NaN or infinite ones always are.
        max_detections: At most so many, the best ones.
        nms_iou: Overlap at which the better box of a class suppresses the other; None where the network's own
            training or its graph has made boxes unique.
    """
    kept = np.flatnonzero(scores >= score)  # NaN compares false
    kept = kept[np.isfinite(boxes[kept]).all(axis=1) & np.isfinite(scores[kept])]
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    if nms_iou is not None:
        kept = kept[suppress(boxes[kept], class_ids[kept], nms_iou, max_detections)]
    kept = kept[:max_detections]
    return in_frame(boxes[kept], scores[kept], class_ids[kept], place)


def whole_numbers(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class ids that came as float32; what is no number becomes -1, which names nothing."""
    return np.where(np.isfinite(labels), np.rint(labels), -1).astype(np.int64)


def check_arrays(
    family: str, outputs: Sequence[NDArray[np.float32]], expected: Sequence[tuple[int | None, ...]]
) -> None:
    """Hold a session's outputs against the shapes a family expects; None stands for any size.

    Raises:
        ModelContractMismatch: Number, shape or dtype differs.
    """
    fits = len(outputs) == len(expected) and all(
        len(output.shape) == len(shape)
        and all(wanted in (None, size) for size, wanted in zip(output.shape, shape, strict=True))
        for output, shape in zip(outputs, expected, strict=True)
    )
    if not fits:
        raise ModelContractMismatch(
            f"{family} outputs: expected shapes {', '.join(map(_written, expected))}, "
            f"got {', '.join(str(output.shape) for output in outputs)}"
        )
    if strange := [str(output.dtype) for output in outputs if output.dtype != np.float32]:
        raise ModelContractMismatch(f"{family} outputs: expected float32, got {', '.join(strange)}")


def check_shapes(
    where: str, found: Sequence[Sequence[int | str | None]], expected: Sequence[tuple[int | None, ...]]
) -> None:
    """Hold the shapes a session declares against those a family expects; a free dimension fits any size.

    Raises:
        ModelContractMismatch: Number, rank or a fixed size differs.
    """
    fits = len(found) == len(expected) and all(
        len(shape) == len(wanted)
        and all(not isinstance(size, int) or want in (None, size) for size, want in zip(shape, wanted, strict=True))
        for shape, wanted in zip(found, expected, strict=True)
    )
    if not fits:
        raise ModelContractMismatch(
            f"{where} expects outputs {', '.join(map(_written, expected))}, got {', '.join(map(str, found))}; "
            f"correct family, [decode] or classes in model.toml"
        )


def _written(shape: Sequence[int | None]) -> str:
    return f"({', '.join('*' if size is None else str(size) for size in shape)})"
