"""What shapes the outputs of a wrapped network have: read from the graph, else seen in runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from appliance.modelling.importer.protos import operators_of

_OF_ANY_SIZE = {"NonMaxSuppression", "NonZero", "Compress", "Unique", "Loop", "If"}
"""Their outputs are as long as what they find."""


def output_shapes(
    model: Any,
    inferred: Sequence[Sequence[int | str | None]],
    runs: Sequence[Sequence[NDArray[Any]]],
    batch: int,
) -> list[list[int | str]]:
    """Tell every output's shape.

    Args:
        inferred: What ONNX Runtime knows without a run; a free dimension is a name or None.
        runs: Outputs for single pictures (or a fixed batch of equals).
        batch: Fixed number of pictures, 0: any.
    Returns:
        A free dimension is "N" where it is the batch, else a name of its own.
    """
    may_vary = not _OF_ANY_SIZE.isdisjoint(operators_of(model.graph))
    return [
        [
            _size(index, axis, known[axis] if axis < len(known) else None, sizes, batch=batch, may_vary=may_vary)
            for axis, sizes in enumerate(zip(*(run[index].shape for run in runs), strict=True))
        ]
        for index, known in enumerate(inferred)
    ]


def _size(
    index: int, axis: int, known: int | str | None, seen: tuple[int, ...], *, batch: int, may_vary: bool
) -> int | str:
    if axis == 0 and batch == 0:
        return "N"
    if isinstance(known, int):
        return known
    return f"free_{index}_{axis}" if may_vary or len(set(seen)) > 1 else seen[0]
