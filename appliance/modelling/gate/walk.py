"""Every graph of a model: the main one, those inside of If, Loop and Scan at any depth, and local functions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

FunctionKey = tuple[str, str, str]
"""Domain, name, overload."""


@dataclass(frozen=True)
class Place:
    """A graph or function body and where it is.

    Attributes:
        path: For messages, e.g. "graph/loop_7.body".
        depth: 0 for the main graph and for functions.
    """

    body: GraphProto | FunctionProto
    path: str
    depth: int


def places(model: ModelProto, deepest: int, too_deep: Callable[[Place], None]) -> Iterator[Place]:
    """Yield every graph and function; those below `deepest` are told to `too_deep` and not entered."""
    waiting = [Place(model.graph, "graph", 0)]
    waiting += [Place(function, f"function {function.name}", 0) for function in model.functions]
    while waiting:
        place = waiting.pop()
        if place.depth > deepest:
            too_deep(place)
            continue
        yield place
        for node in place.body.node:
            waiting += [
                Place(graph, f"{place.path}/{title(node)}.{attribute.name}", place.depth + 1)
                for attribute in node.attribute
                for graph in subgraphs(attribute)
            ]


def subgraphs(attribute: AttributeProto) -> list[GraphProto]:
    """Graphs that a node's attribute holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def title(node: NodeProto) -> str:
    """Name a node for people."""
    return f"{node.name or next(iter(node.output), '')} ({node.op_type})"


def function_key(function: FunctionProto) -> FunctionKey:
    """What a node names to call this function."""
    return function.domain, function.name, function.overload


def called(node: NodeProto) -> FunctionKey:
    """The function a node would call, if the model has one of that name."""
    return node.domain, node.op_type, node.overload
