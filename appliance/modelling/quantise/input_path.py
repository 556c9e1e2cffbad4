"""The way from uint8 pixels to the first real operation: recognised, put in order, kept in uint8 where that is exact.

A bundle's network begins with Cast and a few operations that scale the pixels. As long as every channel is scaled
alike, they say no more than `DequantizeLinear` does: `value = (pixel - zero_point) * scale`, with a zero point that is
a grey value. Then the pixels themselves are the quantised tensor: nothing is rounded, and ONNX Runtime's 8-bit
convolution reads the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from appliance.modelling.bundle import ModelInput
from appliance.modelling.quantise.first_convolution import fold_channels
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.pixel_walk import LAYOUT, walk

_EXACT = 1e-4
"""Grey values: how far a zero point may be from a whole one; float32 constants such as 127/128 leave less."""


@dataclass(frozen=True)
class InputPath:
    """What happens to the pixels before the first real operation.

    Attributes:
        tensor: The float tensor that the first real operation reads.
        scale, offset: `value = pixel * scale + offset`, the same for all channels.
    """

    tensor: str
    scale: float
    offset: float

    @property
    def zero_point(self) -> int | None:
        """The grey value that becomes 0; None where there is none, so that pixels can't be the quantised tensor."""
        if self.scale <= 0:
            return None
        grey = -self.offset / self.scale
        near = round(grey)
        return near if abs(grey - near) <= _EXACT and 0 <= near <= 255 else None


def straighten(graph: Graph, model_input: ModelInput) -> InputPath | None:
    """Bring the input path into the order layout, Cast, Mul, Add; returns it, or None where it isn't a plain path.

    What differs from channel to channel, and a grey frame repeated for three channels, goes into the weights of the
    first convolution.
    """
    way = walk(graph, model_input.name)
    if way is None:
        return None
    scale, offset = float(way.scale[0]), float(way.offset[0])
    if not way.is_plain:
        folded_offset = fold_channels(graph, way)
        if folded_offset is None:
            return None
        scale, offset = 1.0, folded_offset
    rest = [node for node in graph.nodes if all(node is not one for one in way.nodes)]
    ordered: list[Any] = []
    pixels = model_input.name
    for node in way.nodes:
        if node.op_type in LAYOUT:
            node.input[0], node.output[0] = pixels, f"pixels_{len(ordered)}"
            pixels = node.output[0]
            ordered.append(node)
    graph.set_nodes([*ordered, *_scaling(graph, pixels, way.tensor, scale, offset), *rest])
    return InputPath(way.tensor, scale, offset)


def _scaling(graph: Graph, pixels: str, last: str, scale: float, offset: float) -> list[Any]:
    """Return the nodes from uint8 pixels to the float tensor `last`."""
    nodes = [helper.make_node("Cast", [pixels], [last], name="input_cast", to=TensorProto.FLOAT)]
    for kind, value, neutral in (("Mul", scale, 1.0), ("Add", offset, 0.0)):
        if value != neutral:
            constant, made = f"input_{kind.lower()}", f"input_before_{kind.lower()}"
            graph.set_constant(constant, np.array(value, np.float32))
            nodes[-1].output[0] = made
            nodes.append(helper.make_node(kind, [made, constant], [last], name=f"{constant}_node"))
    return nodes


def keep_uint8(model: Any, path: InputPath) -> bool:
    """Take the detour through float out of a quantised network: the pixels are the quantised tensor already.

    The network must have been quantised with `path.scale` and `path.zero_point` for `path.tensor`.

    Returns:
        Whether the first operation now reads pixels. It isn't where it was left in float.
    """
    graph = Graph(model)
    readers, makers = graph.readers(), graph.makers()
    readings = readers[path.tensor]
    if not readings or any(node.op_type != "QuantizeLinear" for node in readings):
        return False
    pixels = path.tensor
    while makers[pixels].op_type != "Cast":
        pixels = makers[pixels].input[0]
    pixels = makers[pixels].input[0]
    replaced = {node.output[0] for node in readings}
    for node in graph.nodes:
        for place, name in enumerate(node.input):
            if name in replaced:
                node.input[place] = pixels
    graph.set_nodes(graph.nodes)
    return True
