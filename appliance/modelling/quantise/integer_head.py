"""The head in 8 bits with exact results: products of uint8 and int8, sums in 32 bits, from those the logits in float.

A QDQ convolution ends in 256 steps, which in a score are steps of a hundredth and more; a float convolution that reads
8-bit features costs their conversion (measured on the shipped detector: a tenth of a frame). ConvInteger gives the sums
themselves.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from appliance.modelling.quantise.graph import Graph

_MIDDLE = 128  # ONNX Runtime's ConvInteger takes uint8 weights alone: int8 ones, shifted


def to_integers(model: Any, names: Collection[str], *, has_seven_bit_weights: bool = False) -> int:
    """Rewrite the named float convolutions of a quantised network that read 8-bit features; returns how many.

    A convolution that reads floats, of groups, or with weights that aren't constant is left as it is.
    """
    graph = Graph(model)
    makers, constants = graph.makers(), graph.constants()
    nodes: list[Any] = []
    count = 0
    for node in graph.nodes:
        source = makers.get(node.input[0]) if node.name in names else None
        if source is not None and _is_suited(node, source, constants):
            nodes += _integer_nodes(graph, node, source, constants, 63 if has_seven_bit_weights else 127)
            count += 1
        else:
            nodes.append(node)
    graph.set_nodes(nodes)
    return count


def _is_suited(node: Any, source: Any, constants: dict[str, NDArray[Any]]) -> bool:
    is_whole = all(attribute.name != "group" or attribute.i == 1 for attribute in node.attribute)
    reads_8_bits = source.op_type == "DequantizeLinear" and constants[source.input[1]].size == 1
    return node.op_type == "Conv" and is_whole and reads_8_bits and set(node.input[1:]) <= constants.keys()


def _integer_nodes(graph: Graph, node: Any, source: Any, constants: dict[str, NDArray[Any]], largest: int) -> list[Any]:
    """Return ConvInteger, Cast, Mul by the scales, Add of the bias."""
    weights = constants[node.input[1]]
    scale = np.maximum(np.abs(weights).reshape(len(weights), -1).max(axis=1), 1e-12) / largest
    column = (-1, *[1] * (weights.ndim - 1))
    steps = np.round(weights / scale.reshape(column)) + _MIDDLE
    name = node.name
    graph.set_constant(f"{name}_steps", steps.astype(np.uint8))
    graph.set_constant(f"{name}_middle", np.array(_MIDDLE, np.uint8))
    channel = (1, -1, *[1] * (weights.ndim - 2))
    scales = scale * float(constants[source.input[1]].reshape(-1)[0])
    graph.set_constant(f"{name}_scales", scales.reshape(channel).astype(np.float32))
    sums, floats, scaled = f"{name}_sums", f"{name}_floats", f"{name}_scaled"
    has_bias = len(node.input) > 2
    integer = helper.make_node(
        "ConvInteger", [source.input[0], f"{name}_steps", source.input[2], f"{name}_middle"], [sums], name=sums
    )
    integer.attribute.extend(node.attribute)
    nodes = [
        integer,
        helper.make_node("Cast", [sums], [floats], name=floats, to=TensorProto.FLOAT),
        helper.make_node("Mul", [floats, f"{name}_scales"], [scaled if has_bias else node.output[0]], name=scaled),
    ]
    if has_bias:
        graph.set_constant(f"{name}_addend", constants[node.input[2]].reshape(channel))
        nodes.append(helper.make_node("Add", [scaled, f"{name}_addend"], [node.output[0]], name=f"{name}_added"))
    return nodes
