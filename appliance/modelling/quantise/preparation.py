"""Before quantisation: the float network, rewritten without a change of what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, version_converter

from appliance.errors import ModelError
from appliance.modelling.bundle import ModelBundle
from appliance.modelling.quantise.columns import columns_to_channels
from appliance.modelling.quantise.frozen_shapes import freeze_shapes
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.input_path import InputPath, straighten
from appliance.modelling.quantise.regions import Regions, behind, find_regions
from appliance.modelling.quantise.runtime import folded
from appliance.modelling.quantise.softplus import spell_out_softplus

LEAST_OPSET = 13
"""The first whose DequantizeLinear knows a scale for each channel."""
NEW_OPSET = 17
_QUANTISED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
}


@dataclass(frozen=True)
class Prepared:
    """A float network, ready for quantisation.

    Attributes:
        graph: The network.
        regions: What may become of its nodes.
        path: The way of the pixels; None where it isn't a plain one.
        done: What was rewritten, in words.
    """

    graph: Graph
    regions: Regions
    path: InputPath | None
    done: tuple[str, ...]


def prepare(bundle: ModelBundle) -> Prepared:
    """Rewrite a bundle's network for quantisation.

    Raises:
        ModelError: It is quantised already, is float16, or has nothing that can be quantised.
    """
    model = onnx.load_model_from_string(bundle.onnx_bytes)
    _refuse(bundle.name, model)
    graph = Graph(folded(_of_new_opset(bundle.name, model)))
    done = []
    if count := freeze_shapes(graph, bundle.input):
        done.append(f"{count} nodes of shape arithmetic became constants")
    path = straighten(graph, bundle.input)
    if path and path.zero_point is not None and columns_to_channels(graph, bundle.input, path):
        done.append("the first convolution reads blocks of columns as channels")
    regions = find_regions(graph, path.tensor if path else None)
    if not regions.weighted:
        raise ModelError(
            f"model {bundle.name}: nothing to quantise: expected convolutions with constant weights before the "
            f"decoding, got none"
        )
    if spell_out_softplus(graph, behind(graph, regions.head)):
        done.append("Softplus behind the head is spelled out")
    return Prepared(graph, regions, path, tuple(done))


def _refuse(name: str, model: Any) -> None:
    operators = {node.op_type for node in model.graph.node}
    if found := sorted(operators & _QUANTISED):
        raise ModelError(
            f"model {name}: is quantised already ({', '.join(found)}); quantise the float model that it was made from"
        )
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer):
        raise ModelError(f"model {name}: has float16 weights; export and import it as float32, then quantise that")


def _of_new_opset(name: str, model: Any) -> Any:
    """Return the network in an opset that can be quantised channel by channel."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]  # IR 3 lists constants as inputs
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0) >= LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, NEW_OPSET)
    except Exception as error:  # onnx raises RuntimeError, ConvertError and others
        raise ModelError(
            f"model {name}: can't be brought from its opset to {NEW_OPSET}, which quantisation needs: "
            f"{' '.join(str(error).split())[:200]}; export it with opset {NEW_OPSET}"
        ) from error
