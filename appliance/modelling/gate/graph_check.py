"""What of a foreign ONNX file can be refused without running it.

Runs inside a limited child: parsing alone may crash or eat all memory. ONNX's own checker lets custom operators and a
4 TiB ConstantOfShape pass, and ONNX Runtime 1.32 reads external data through hard links: so both are looked for here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import NoReturn

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from appliance.errors import ModelError
from appliance.modelling.gate.limits import GraphLimits
from appliance.modelling.gate.walk import FunctionKey, Place, called, function_key, places, subgraphs, title

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Whose operators ONNX Runtime's own kernels implement."""
_READS_FILES = frozenset({("com.microsoft", "EPContext")})
"""Operators that name a file: EPContext loads a compiled network from it."""
_BITS = {
    **dict.fromkeys(("UINT2", "INT2"), 2),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("UINT8", "INT8", "BOOL"), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("UINT32", "INT32", "FLOAT"), 32),
    **dict.fromkeys(("UINT64", "INT64", "DOUBLE", "COMPLEX64"), 64),
    "COMPLEX128": 128,
}
_DEEPEST_CALLS = 64
_MIB = 1 << 20


def check_graph(onnx_bytes: bytes | memoryview, where: str, limits: GraphLimits | None = None) -> ModelProto:
    """Parse an ONNX file and refuse what no honest detector has.

    Args:
        where: Begins each error's message.
    Returns:
        The parsed model.
    Raises:
        ModelError: Not ONNX; external data; a foreign domain; an operator that reads files; text instead of numbers;
            too large, too many or too deeply nested; an opset newer than this software.
    """
    return _GraphCheck(where, limits or GraphLimits()).run(onnx_bytes)


class _GraphCheck:
    """One file's check."""

    def __init__(self, where: str, limits: GraphLimits) -> None:
        self._where = where
        self._limits = limits

    def run(self, onnx_bytes: bytes | memoryview) -> ModelProto:
        model = self._parse(onnx_bytes)
        self._check_versions(model)
        functions = frozenset(function_key(function) for function in model.functions)
        for place in places(model, self._limits.depth, self._refuse_depth):
            self._check_place(place, functions)
        self._check_count(model)
        self._check_declared(model.graph)
        return model

    def _parse(self, onnx_bytes: bytes | memoryview) -> ModelProto:
        if len(onnx_bytes) > self._limits.file_mb * _MIB:
            self._refuse(f"has {len(onnx_bytes) / _MIB:.0f} MiB, expected {self._limits.file_mb} at most")
        try:
            model = onnx.load_model_from_string(bytes(onnx_bytes))
        except MemoryError:
            raise
        except Exception:  # protobuf's DecodeError, whose package has no types
            self._refuse(f"is no ONNX file, or cut off ({len(onnx_bytes)} bytes); export or copy it again")
        if not model.graph.node or not model.graph.output:
            self._refuse(f"is no ONNX file, or an empty one ({len(onnx_bytes)} bytes); export or copy it again")
        if model.training_info:
            self._refuse("holds training graphs; export the network for inference")
        return model

    def _check_versions(self, model: ModelProto) -> None:
        newest = onnx.defs.onnx_opset_version()
        declared = [*model.opset_import, *(one for function in model.functions for one in function.opset_import)]
        for opset in declared:
            if opset.domain in {"", "ai.onnx"} and not 0 < opset.version <= newest:
                self._refuse(f"needs opset {opset.version}, known are 1 to {newest}; export it with an older opset")

    def _check_place(self, place: Place, functions: frozenset[FunctionKey]) -> None:
        if isinstance(place.body, GraphProto):
            for tensor in place.body.initializer:
                self._check_tensor(tensor, f"{place.path}: initializer '{tensor.name}'")
            for sparse in place.body.sparse_initializer:
                self._check_sparse(sparse, f"{place.path}: sparse initializer '{sparse.values.name}'")
        for node in place.body.node:
            self._check_node(node, place.path, functions)

    def _check_node(self, node: NodeProto, path: str, functions: frozenset[FunctionKey]) -> None:
        if node.domain not in ALLOWED_DOMAINS and called(node) not in functions:
            self._refuse(
                f"{path}: node {title(node)} is of domain '{node.domain}': a custom operator, whose code isn't in the "
                f"file; export the model without it (allowed: {', '.join(sorted(ALLOWED_DOMAINS - {''}))})"
            )
        if (node.domain, node.op_type) in _READS_FILES:
            self._refuse(f"{path}: node {title(node)} loads another file; export the network itself")
        for attribute in node.attribute:
            self._check_attribute(attribute, f"{path}: node {title(node)}, attribute '{attribute.name}'")

    def _check_attribute(self, attribute: AttributeProto, place: str) -> None:
        for tensor in [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]:
            self._check_tensor(tensor, place)
        sparse = [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
        for one in [*sparse, *attribute.sparse_tensors]:
            self._check_sparse(one, place)
        if attribute.name == "to" and attribute.i == TensorProto.STRING:
            self._refuse(f"{place} makes text of numbers; a detector has no use for it")

    def _check_tensor(self, tensor: TensorProto, place: str) -> None:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            location = next((one.value for one in tensor.external_data if one.key == "location"), "?")
            self._refuse(
                f"{place} lies in another file, {location!r:.80}; put everything into one: "
                f"onnx.save_model(onnx.load(FILE), NEW_FILE, save_as_external_data=False)"
            )
        if tensor.data_type == TensorProto.STRING or tensor.string_data:
            self._refuse(f"{place} holds text instead of numbers; a detector has no use for it")
        self._check_size(tensor.dims, tensor.data_type, place)

    def _check_sparse(self, sparse: SparseTensorProto, place: str) -> None:
        self._check_tensor(sparse.values, place)
        self._check_tensor(sparse.indices, place)
        self._check_size(sparse.dims, sparse.values.data_type, place)  # as large as it gets when it is unfolded

    def _check_size(self, dims: Iterable[int], data_type: int, place: str) -> None:
        shape = tuple(dims)
        size_bytes = tensor_bytes(shape, data_type)
        if any(size < 0 for size in shape) or size_bytes > self._limits.tensor_bytes:
            self._refuse(
                f"{place} has shape {shape!s:.80}, {size_bytes / _MIB:,.0f} MiB; "
                f"expected {self._limits.tensor_mb} MiB at most"
            )

    def _check_count(self, model: ModelProto) -> None:
        """Count nodes as they are once every local function stands where it is called: that may explode."""
        bodies = {function_key(function): list(function.node) for function in model.functions}
        known: dict[FunctionKey, int] = {}
        open_calls: list[FunctionKey] = []

        def size(key: FunctionKey) -> int:
            if key in open_calls or len(open_calls) > _DEEPEST_CALLS:
                self._refuse(f"function {key[1]} calls itself, or functions call each other too deeply")
            if key not in known:
                open_calls.append(key)
                known[key] = count(bodies[key])
                open_calls.pop()
            return known[key]

        def count(nodes: Iterable[NodeProto]) -> int:
            return sum(size(called(node)) if called(node) in bodies else 1 for node in _with_inner(nodes))

        if (total := count(model.graph.node)) > self._limits.nodes:
            self._refuse(f"has {total} nodes, expected {self._limits.nodes} at most")

    def _check_declared(self, graph: GraphProto) -> None:
        for value in [*graph.input, *graph.output]:
            if not value.type.HasField("tensor_type") or value.type.tensor_type.elem_type == TensorProto.STRING:
                kind = value.type.WhichOneof("value") or "nothing known"
                self._refuse(f"input or output '{value.name}' is no tensor of numbers ({kind}); export tensors only")

    def _refuse_depth(self, place: Place) -> None:
        self._refuse(f"{place.path!s:.200} is nested {place.depth} deep, expected {self._limits.depth} at most")

    def _refuse(self, words: str) -> NoReturn:
        raise ModelError(f"{self._where}: model.onnx {words}")


def _with_inner(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes and, at any depth, those of their subgraphs."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in subgraphs(attribute):
                waiting += graph.node


def tensor_bytes(shape: Iterable[int], data_type: int) -> int:
    """Bytes of a tensor of this shape and ONNX element type; those of an unknown type count as eight bytes each."""
    try:
        name = TensorProto.DataType.Name(data_type)
    except ValueError:
        name = ""
    bits = 8 if name.startswith("FLOAT8") else _BITS.get(name, 64)
    return (prod(shape) * bits + 7) // 8
