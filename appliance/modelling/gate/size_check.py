"""How large the tensors of a network become, as far as shapes tell without running it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto

from appliance.errors import ModelError
from appliance.modelling.gate.graph_check import tensor_bytes
from appliance.modelling.gate.limits import GraphLimits
from appliance.modelling.gate.walk import subgraphs, title

_GIB = 1 << 30
_LARGE_BYTES = 1 << 16


def check_sizes(model: ModelProto, where: str, *, batch: int, limits: GraphLimits | None = None) -> None:
    """Refuse a network that computes an absurdly large tensor from constants and its input's shape.

    What shapes can't tell is found when the network runs in its limited child.

    Args:
        model: Passed `check_graph`. Stays as it is.
        where: Begins the error's message.
        batch: Frames of the largest run.
    Raises:
        ModelError: Such a tensor, and which node makes it.
    """
    limits = limits or GraphLimits()
    slim = _without_weights(model)
    for value in slim.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = batch
    try:
        inferred = onnx.shape_inference.infer_shapes(slim, data_prop=True)
    except Exception:  # a network that confuses it may still be sound: the trial will show
        return
    for graph, value in _values(inferred.graph):
        tensor = value.type.tensor_type
        if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            continue
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        if (size := tensor_bytes(shape, tensor.elem_type)) > limits.tensor_bytes:
            raise ModelError(
                f"{where}: model.onnx: {_maker(graph, value.name)} makes a tensor of shape {shape}, "
                f"{size / _GIB:,.1f} GiB; expected {limits.tensor_mb / 1024:,.1f} GiB at most"
            )


def _without_weights(model: ModelProto) -> ModelProto:
    """Copy a model without the content of its large tensors: shapes don't depend on them, and they would be copied."""
    slim = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = model.graph
    slim.graph.MergeFrom(
        GraphProto(
            name=graph.name, node=graph.node, input=graph.input, output=graph.output, value_info=graph.value_info
        )
    )
    for tensor in graph.initializer:
        if tensor.ByteSize() > _LARGE_BYTES:
            slim.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        else:
            slim.graph.initializer.append(tensor)
    return slim


def _values(graph: GraphProto) -> Iterator[tuple[GraphProto, ValueInfoProto]]:
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        for value in [*current.input, *current.value_info, *current.output]:
            yield current, value
        for node in current.node:
            for attribute in node.attribute:
                waiting += subgraphs(attribute)


def _maker(graph: GraphProto, name: str) -> str:
    for node in graph.node:
        if name in node.output:
            return f"node {title(node)}"
    return f"input '{name}'"
