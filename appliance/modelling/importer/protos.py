"""Small questions to ONNX messages that several modules of the importer ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from appliance.modelling.importer.facts import TensorFacts

OPSET_DOMAINS = ("", "ai.onnx")


def opset_of(model: Any) -> int:
    """Version of the standard operators; 1 where the file names none."""
    return max((one.version for one in model.opset_import if one.domain in OPSET_DOMAINS), default=1)


def tensor_facts(value: Any) -> TensorFacts:
    """Read one declared input or output; dtype is "sequence" or the like where it isn't a tensor."""
    if not value.type.HasField("tensor_type"):
        return TensorFacts(value.name, (), str(value.type.WhichOneof("value") or "untyped").removesuffix("_type"))
    tensor = value.type.tensor_type
    shape = tuple(_size(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else ()
    return TensorFacts(value.name, shape, _dtype_name(tensor.elem_type))


def _size(dim: Any) -> int | str | None:
    kind = dim.WhichOneof("value")
    if kind == "dim_value" and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None if kind == "dim_param" else None


def _dtype_name(element_type: int) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(element_type))
    except KeyError:
        return "untyped"


def real_inputs(graph: Any) -> list[Any]:
    """Inputs that somebody must feed: files of IR 3 list their weights among the inputs."""
    weights = {tensor.name for tensor in graph.initializer} | {
        tensor.values.name for tensor in graph.sparse_initializer
    }
    return [value for value in graph.input if value.name not in weights]


def nodes_of(graph: Any) -> Iterator[Any]:
    """Every node, those of subgraphs included."""
    for node in graph.node:
        yield node
        for subgraph in subgraphs_of(node):
            yield from nodes_of(subgraph)


def subgraphs_of(node: Any) -> Iterator[Any]:
    """Graphs among a node's attributes: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def operators_of(graph: Any) -> Counter[str]:
    """Operator to number of nodes."""
    return Counter(node.op_type for node in nodes_of(graph))


def tensors_of(graph: Any) -> Iterator[Any]:
    """Every TensorProto: weights and constants in attributes, those of subgraphs included."""
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from graph.initializer
    for node in graph.node:
        yield from tensors_in_attributes(node)
        for subgraph in subgraphs_of(node):
            yield from tensors_of(subgraph)


def tensors_in_attributes(node: Any) -> Iterator[Any]:
    """TensorProtos of one node's own attributes."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse = [
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
            *attribute.sparse_tensors,
        ]
        for one in sparse:
            yield from (one.values, one.indices)


def names_in(graph: Any) -> set[str]:
    """Every name of a tensor or node, subgraphs included: what a new name must differ from."""
    names = {value.name for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)}
    for node in graph.node:
        names |= {node.name, *node.input, *node.output}
        for subgraph in subgraphs_of(node):
            names |= names_in(subgraph)
    return names


def constants_of(graph: Any) -> dict[str, Any]:
    """Name to TensorProto of every constant: initialisers and `Constant` nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            found[node.output[0]] = node.attribute[0].t
    return found


def numbers_of(tensor: Any) -> NDArray[Any]:
    """Values of a TensorProto."""
    return np.asarray(numpy_helper.to_array(tensor))


def set_shape(value: Any, shape: tuple[int | str, ...]) -> None:
    """Declare a tensor's shape anew."""
    value.type.tensor_type.ClearField("shape")
    for size in shape:
        dim = value.type.tensor_type.shape.dim.add()
        if isinstance(size, int):
            dim.dim_value = size
        else:
            dim.dim_param = size
    value.type.tensor_type.shape.SetInParent()
