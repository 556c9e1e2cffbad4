"""Fold what is done to single channels into the first convolution, where its padding permits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.quantise.graph import Graph, attributes
from appliance.modelling.quantise.pixel_walk import Way

_SAME = 1e-4  # grey values


def fold_channels(graph: Graph, way: Way) -> float | None:
    """Put scales, offsets and repeated channels into the weights of the convolution that the pixels lead to.

    Zeros that a convolution pads with are zeros after the scaling. They keep their meaning only if every channel has
    the same grey value for zero, or if there is no padding.

    Returns:
        The offset that remains for every channel, in grey values, scale 1; None where folding isn't exact.
    """
    readers, constants = graph.readers()[way.tensor], graph.constants()
    if len(readers) != 1 or readers[0].op_type != "Conv" or readers[0].input[1] not in constants:
        return None
    conv = readers[0]
    weights = constants[conv.input[1]]
    if attributes(conv).get("group", 1) != 1 or way.repeats not in (1, weights.shape[1]):
        return None
    scale, offset = (np.broadcast_to(one, weights.shape[1]) for one in (way.scale, way.offset))
    zeros = -offset / scale
    remains = float(-zeros[0])
    if np.abs(zeros - zeros[0]).max() > _SAME:
        if _is_padded(conv):
            return None
        _add_to_bias(graph, conv, constants, np.einsum("ocyx,c->o", weights, offset))
        remains = 0.0
    scaled = weights * scale[None, :, None, None]
    if way.repeats > 1:
        scaled = scaled.sum(axis=1, keepdims=True)
    graph.set_constant(conv.input[1], scaled.astype(np.float32))
    return remains


def _is_padded(conv: Any) -> bool:
    known = attributes(conv)
    return any(known.get("pads", ())) or known.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")


def _add_to_bias(graph: Graph, conv: Any, constants: dict[str, NDArray[Any]], addend: NDArray[np.float64]) -> None:
    if len(conv.input) > 2 and conv.input[2]:
        graph.set_constant(conv.input[2], (constants[conv.input[2]] + addend).astype(np.float32))
        return
    del conv.input[2:]
    conv.input.append(f"{conv.name}_bias")
    graph.set_constant(conv.input[2], addend.astype(np.float32))
