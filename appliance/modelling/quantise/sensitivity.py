"""Which nodes suffer most from 8 bits: each is quantised alone, and what the head gives is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from appliance.modelling.quantise.preparation import Prepared
from appliance.modelling.quantise.qdq import write_qdq
from appliance.modelling.quantise.ranges import Range
from appliance.modelling.quantise.runtime import open_session


def rank(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    input_name: str,
    frames: Sequence[NDArray[np.uint8]],
    seen: Callable[[int, int], None],
) -> list[tuple[str, float]]:
    """Return the weighted nodes, the most sensitive first, each with the noise it brings.

    Noise is the mean square of the difference at the head's outputs over the mean square of those outputs themselves,
    summed over them: free of units, the same for every family.

    Args:
        frames: Model inputs, each a batch; a few are enough.
        seen: Told how many of how many nodes are done.
    """
    ends = _ends(prepared)
    probe = prepared.graph.with_outputs(ends, dict.fromkeys(ends, TensorProto.FLOAT))
    truth = _run(probe, ends, input_name, frames)
    noise: list[tuple[str, float]] = []
    for number, name in enumerate(prepared.regions.weighted, start=1):
        quantised = write_qdq(prepared, ranges, [name], model=probe)
        found = _run(quantised.model, ends, input_name, frames)
        noise.append((name, sum(_noise(one, true) for one, true in zip(found, truth, strict=True))))
        seen(number, len(prepared.regions.weighted))
    return sorted(noise, key=lambda row: (-row[1], row[0]))


def _ends(prepared: Prepared) -> list[str]:
    head = set(prepared.regions.head)
    return [node.output[0] for node in prepared.graph.nodes if node.name in head]


def _run(
    model: Any, names: Sequence[str], input_name: str, frames: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    session = open_session(model)
    runs = [session.run(names, {input_name: frame}) for frame in frames]
    return [np.concatenate([run[place].reshape(-1) for run in runs]) for place in range(len(names))]


def _noise(found: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    power = float(np.mean(np.square(true, dtype=np.float64)))
    return float(np.mean(np.square(found.astype(np.float64) - true))) / max(power, 1e-12)
