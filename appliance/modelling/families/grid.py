"""Grid cells and anchors: where the candidates of a YOLO head lie, and how raw numbers become boxes there.

A head of stride s divides the model input into cells of s x s px. Candidates come scale by scale, anchor by anchor,
row by row: the order in which PyTorch flattens (anchors, rows, columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Strides = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1, max_length=8)]
"""px of the model input between two cells, one number for each scale, finest first."""

Anchors = Annotated[tuple[tuple[tuple[float, float], ...], ...], Field(min_length=1, max_length=8)]
"""Width and height in px of each anchor of each scale, finest scale first."""


def grid_sizes(height_px: int, width_px: int, strides: Sequence[int]) -> list[tuple[int, int]]:
    """Rows and columns of each scale; an incomplete cell at the edge counts."""
    return [(-(-height_px // stride), -(-width_px // stride)) for stride in strides]


def cell_table(
    sizes: Sequence[tuple[int, int]], strides: Sequence[int], anchors: Sequence[Sequence[tuple[float, float]]] | None
) -> NDArray[np.float32]:
    """List the cell of every candidate.

    Args:
        sizes: Rows and columns of each scale.
        strides: px of each scale.
        anchors: Of each scale; None for heads without anchors.
    Returns:
        (A, 5) float32: column, row, stride in px, and the anchor's width and height in px (the stride's without).
    """
    parts = []
    for index, ((rows, columns), stride) in enumerate(zip(sizes, strides, strict=True)):
        y, x = np.divmod(np.arange(rows * columns), columns)
        for width_px, height_px in anchors[index] if anchors is not None else ((stride, stride),):
            constants = (np.full(len(x), value) for value in (stride, width_px, height_px))
            parts.append(np.stack([x, y, *constants], axis=1).astype(np.float32))
    return np.concatenate(parts)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic function; far values become 0 or 1."""
    with np.errstate(over="ignore"):
        return np.float32(1) / (np.float32(1) + np.exp(-values))


def grid_boxes(raw: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn (K, 4) raw numbers of an anchor-free head into corners in px: (t + cell) * stride, exp(t) * stride.

    Source: Ge et al. 2021, YOLOX; Megvii YOLOX, yolox/models/yolo_head.py, decode_outputs.
    """
    return _corners((raw[:, :2] + cells[:, :2]) * cells[:, 2:3], _exponential(raw[:, 2:]) * cells[:, 2:3])


def exponential_boxes(
    raw: NDArray[np.float32], cells: NDArray[np.float32], scale_xy: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Turn (K, 4) raw numbers of a Darknet head into corners in px: (sigmoid(t) + cell) * stride, exp(t) * anchor.

    Args:
        raw, cells: Of the same candidates.
        scale_xy: (K,) how far a centre may leave its cell: 1 in YOLOv3; YOLOv4 names it `scale_x_y`.
    Source: Redmon & Farhadi 2018, YOLOv3, section 2.1; darknet, src/yolo_layer.c, get_yolo_box.
    """
    scale = scale_xy[:, None]
    centre = sigmoid(raw[:, :2]) * scale - (scale - np.float32(1)) * np.float32(0.5)
    return _corners((centre + cells[:, :2]) * cells[:, 2:3], _exponential(raw[:, 2:]) * cells[:, 3:])


def squared_boxes(shares: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn (K, 4) numbers of a YOLOv5 head, after the sigmoid, into corners in px.

    Centre (2 t - 0.5 + cell) * stride, size (2 t)^2 * anchor.

    Source: Ultralytics YOLOv5, documentation, "Architecture summary", section 4.3 "Eliminate grid sensitivity".
    """
    doubled = shares * np.float32(2)
    return _corners(
        (doubled[:, :2] - np.float32(0.5) + cells[:, :2]) * cells[:, 2:3], doubled[:, 2:] ** 2 * cells[:, 3:]
    )


def _exponential(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # an infinite box is dropped later
        return np.exp(values)


def _corners(centre: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float32]:
    half = size * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=1)
