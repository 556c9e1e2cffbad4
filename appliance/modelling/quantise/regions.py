"""Which nodes of a network may be computed in 8 bits, and which never.

Never: what turns features into boxes and scores. Coordinates in pixels span hundreds, in steps of less than one: 256
values are not enough. That part begins behind the last convolutions, or earlier at the first Exp, TopK or the like, or
at a Softmax that isn't attention within the backbone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from appliance.modelling.quantise.graph import Graph

WEIGHTED = {"Conv", "Gemm", "MatMul"}
ACTIVATIONS = {"Relu", "Clip"}
"""Become part of the convolution before them: an 8-bit range ends where the activation cuts."""
CARRIERS = {
    "LeakyRelu", "Sigmoid", "Mul", "Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize",
    "Split", "Slice", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten",
}  # fmt: skip
"""Have 8-bit kernels, so that features between two convolutions needn't become float and back."""
DECODING = {
    "Softmax", "LogSoftmax", "Exp", "TopK", "ArgMax", "NonMaxSuppression", "GridSample", "ScatterND", "GatherElements",
    "GatherND", "Einsum",
}  # fmt: skip
"""Where decoding begins; all that follows stays in float."""
ATTENTION = 3
"""A Softmax that so many convolutions depend on is attention; behind a decoded distribution there is one, its mean."""


@dataclass(frozen=True)
class Regions:
    """Names of nodes, in the network's order.

    Attributes:
        weighted: Convolutions and matrix products with constant weights.
        carriers: What lies between them and can be carried in 8 bits.
        head: The last weighted nodes: what boxes and scores are read from.
    """

    weighted: tuple[str, ...]
    carriers: tuple[str, ...]
    head: tuple[str, ...]


def find_regions(graph: Graph, first_tensor: str | None = None) -> Regions:
    """Sort a network's nodes by what may become of them.

    Args:
        first_tensor: The float tensor that the pixels become; what makes it is left alone. None where it isn't known:
            then nothing before the first convolutions is carried in 8 bits.
    """
    constants = set(graph.constants())
    decoding = _downstream(graph, [node for node in graph.nodes if _decodes(graph, node)])
    weighted = [
        node
        for node in graph.nodes
        if node.op_type in WEIGHTED and node.name not in decoding and _weights(node) in constants
    ]
    names = {node.name for node in weighted}
    before = _upstream(graph, weighted)
    head = [node.name for node in weighted if not (_downstream(graph, [node]) - {node.name}) & names]
    starts = graph.readers()[first_tensor] if first_tensor else weighted
    between = (_downstream(graph, starts) & before) - decoding
    carriers = [node.name for node in graph.nodes if node.op_type in CARRIERS | ACTIVATIONS and node.name in between]
    return Regions(tuple(node.name for node in weighted), tuple(carriers), tuple(head))


def _decodes(graph: Graph, node: Any) -> bool:
    if node.op_type != "Softmax":
        return str(node.op_type) in DECODING
    dependent = _downstream(graph, [node])
    return len([one for one in graph.nodes if one.op_type == "Conv" and one.name in dependent]) < ATTENTION


def behind(graph: Graph, names: Collection[str]) -> set[str]:
    """Return the names of all nodes that depend on these, without themselves."""
    return _downstream(graph, [node for node in graph.nodes if node.name in names]) - set(names)


def _weights(node: Any) -> str:
    return node.input[1] if len(node.input) > 1 else ""


def _downstream(graph: Graph, starts: Iterable[Any]) -> set[str]:
    """Return the names of these nodes and of all that depends on them."""
    tensors: set[str] = set()
    names = {node.name for node in starts}
    for node in graph.nodes:  # in an order in which they run
        if node.name in names or tensors.intersection(node.input):
            names.add(node.name)
            tensors.update(node.output)
    return names


def _upstream(graph: Graph, ends: Iterable[Any]) -> set[str]:
    """Return the names of all nodes that these depend on, without themselves unless one depends on another."""
    needed = {name for node in ends for name in node.input if name}
    names: set[str] = set()
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            names.add(node.name)
            needed.update(name for name in node.input if name)
    return names
