"""Write the quantised network: QuantizeLinear and DequantizeLinear around what ONNX Runtime shall compute in 8 bits.

Weights int8, symmetric, a scale for each output channel. Activations uint8: with them x86 processors use their 8-bit
dot products (measured with AVX-512 VNNI: uint8 was 1.5 times faster than float, int8 1.2 times slower); Arm takes both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.input_path import keep_uint8
from appliance.modelling.quantise.integer_head import to_integers
from appliance.modelling.quantise.preparation import Prepared
from appliance.modelling.quantise.ranges import Range
from appliance.modelling.quantise.regions import ACTIVATIONS


@dataclass(frozen=True)
class Quantised:
    """A quantised network.

    Attributes:
        model: The ONNX model.
        reads_uint8: Whether its first 8-bit operation reads the pixels as they are.
    """

    model: Any
    reads_uint8: bool


def write_qdq(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    nodes: Collection[str],
    *,
    has_seven_bit_weights: bool = False,
    model: Any = None,
) -> Quantised:
    """Quantise some nodes of a prepared network.

    Args:
        ranges: Range of each float tensor.
        nodes: Names of the nodes that are computed in 8 bits, of `prepared.regions`; the head's become ConvInteger.
        has_seven_bit_weights: For x86 processors without VNNI, whose 8-bit sums may overflow.
        model: A copy of the prepared network with other outputs, for looking inside. Default: the network itself.
    """
    known = onnx.ModelProto()
    known.CopyFrom(onnx.shape_inference.infer_shapes(prepared.graph.model if model is None else model))
    head = set(nodes) & set(prepared.regions.head)
    chosen = _with_activations(prepared.graph, set(nodes) - head)
    types = {node.op_type for node in prepared.graph.nodes if node.name in chosen}
    quantiser = QDQQuantizer(
        known,
        True,  # per channel
        has_seven_bit_weights,
        QuantType.QInt8,
        QuantType.QUInt8,
        _tensors_data(ranges),
        sorted(chosen),
        [],
        sorted(types),
        {"WeightSymmetric": True, "ActivationSymmetric": False, "TensorQuantOverrides": _exact_input(prepared)},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    written = quantiser.model.model
    path = prepared.path
    reads_uint8 = path is not None and path.zero_point is not None and keep_uint8(written, path)
    to_integers(written, head, has_seven_bit_weights=has_seven_bit_weights)
    _tidy(written)
    return Quantised(written, reads_uint8)


def _with_activations(graph: Graph, nodes: Collection[str]) -> set[str]:
    """Add the activation behind each chosen node: free there, and a range of its own would cost accuracy."""
    readers = graph.readers()
    chosen = {node.name for node in graph.nodes if node.name in nodes and node.op_type not in ACTIVATIONS}
    for node in graph.nodes:
        if node.name in chosen:
            chosen |= {after.name for after in readers[node.output[0]] if after.op_type in ACTIVATIONS}
    return chosen


def _tensors_data(ranges: Mapping[str, Range]) -> Any:
    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def _exact_input(prepared: Prepared) -> dict[str, Any]:
    path = prepared.path
    if path is None or path.zero_point is None:
        return {}
    scale, zero_point = np.array(path.scale, np.float32), np.array(path.zero_point, np.uint8)
    return {path.tensor: [{"quant_type": QuantType.QUInt8, "scale": scale, "zero_point": zero_point}]}


def _tidy(model: Any) -> None:
    """Keep the domains that are in use, and say who wrote the file."""
    used = {node.domain for node in model.graph.node}
    imports = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "edge-inspection-appliance", "", ""
