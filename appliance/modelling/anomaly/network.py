"""Features and memory as one ONNX network: picture in, anomaly map out."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.modelling.anomaly.features import GRID, FeatureNetwork
from appliance.modelling.anomaly.memory import Memory, grid_positions

GRID_OUTPUT = "anomaly.features"
MAP_OUTPUT = "anomaly_map"
MARGIN_PX = 32
"""How far the picture is continued beyond its edges; a multiple of `GRID` and of the largest stride."""
_SMOOTH_SIGMA = 1.0
_SMOOTH_SIZE = 5


class _Nodes:
    """Appends nodes to a graph; each result is named after its kind."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or f"anomaly.{kind.lower()}.{len(self._graph.node)}"
        self._graph.node.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def over_channels(self, kind: str, tensor: str) -> str:
        """Reduce axis 1; from opset 18 on axes are an input."""
        if self._opset < 18:
            return self.add(kind, tensor, axes=[1], keepdims=1)
        return self.add(kind, tensor, self.constant(f"axes.{kind}", np.array([1], np.int64)), keepdims=1)

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        name = f"anomaly.{name}"
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def grid_network(network: FeatureNetwork, height: int, width: int) -> onnx.ModelProto:
    """Bring all features to one grid of `GRID` px and to one output (N, C, height, width) float32."""
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    _pad_input(model)
    nodes, parts = _Nodes(model), []
    for name, stride in network.features.items():
        smooth = nodes.add("AveragePool", name, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
        if stride < GRID:
            step = GRID // stride
            smooth = nodes.add("AveragePool", smooth, kernel_shape=[step, step], strides=[step, step])
        elif stride > GRID:
            factor = float(stride // GRID)
            scales = nodes.constant(f"scales.{stride}", np.array([1, 1, factor, factor], np.float32))
            smooth = nodes.add("Resize", smooth, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
        parts.append(smooth)
    wide = nodes.add("Concat", *parts, axis=1)
    edge = MARGIN_PX // GRID
    bounds = {"starts": [edge, edge], "ends": [edge + height, edge + width], "axes": [2, 3]}
    slices = [nodes.constant(f"inner.{name}", np.array(values, np.int64)) for name, values in bounds.items()]
    nodes.add("Slice", wide, *slices, output=GRID_OUTPUT)
    _declare(model, GRID_OUTPUT, ["N", "C", height, width])
    return model


def _pad_input(model: onnx.ModelProto) -> None:
    """Repeat the picture's outermost pixels around it.

    Convolutions see zeros beyond the picture: without this every place near its edge would look like a defect.
    """
    graph = model.graph
    picture, padded = graph.input[0].name, "anomaly.padded"
    is_interleaved = graph.input[0].type.tensor_type.shape.dim[3].dim_value == 3
    sides = [0, MARGIN_PX, MARGIN_PX, 0] if is_interleaved else [0, 0, MARGIN_PX, MARGIN_PX]
    for node in graph.node:
        node.input[:] = [padded if name == picture else name for name in node.input]
    pads = numpy_helper.from_array(np.array(sides * 2, np.int64), "anomaly.margin")
    graph.initializer.append(pads)
    graph.node.insert(0, helper.make_node("Pad", [picture, pads.name], [padded], mode="edge"))


def anomaly_network(network: FeatureNetwork, memory: Memory, height: int, width: int) -> onnx.ModelProto:
    """Give each place of the grid its distance to the nearest remembered point: (N, 1, height, width) float32."""
    model = grid_network(network, height, width)
    nodes = _Nodes(model)
    rotate = memory.whitening.T[:, :, None, None].astype(np.float32)
    shift = -(memory.mean @ memory.whitening).astype(np.float32)
    seen = nodes.add("Conv", GRID_OUTPUT, nodes.constant("rotate", rotate), nodes.constant("shift", shift))
    point = nodes.add("Concat", seen, _positions(nodes, seen, memory, height, width), axis=1)
    nodes.add("Identity", _smoothed(nodes, _distances(nodes, point, memory.points)), output=MAP_OUTPUT)
    _declare(model, MAP_OUTPUT, ["N", 1, height, width])
    return model


def _positions(nodes: _Nodes, seen: str, memory: Memory, height: int, width: int) -> str:
    """Where each place is, for each picture of the batch: a constant, brought to the batch's size."""
    places = (grid_positions(height, width) * np.float32(memory.position_weight))[None].astype(np.float32)
    starts, ends, axes = (nodes.constant(name, np.array([at], np.int64)) for name, at in (("0", 0), ("2", 2), ("1", 1)))
    two_channels = nodes.add("Slice", seen, starts, ends, axes)
    nothing = nodes.add("Mul", two_channels, nodes.constant("nothing", np.zeros((1,), np.float32)))
    return nodes.add("Add", nothing, nodes.constant("positions", places))


def _distances(nodes: _Nodes, point: str, remembered: NDArray[np.float32]) -> str:
    """|p - r|² = |p|² + (|r|² - 2 p·r), least over all remembered r; the bracket is a 1x1 convolution."""
    weights = (-2 * remembered)[:, :, None, None].astype(np.float32)
    squares = (remembered**2).sum(axis=1).astype(np.float32)
    bracket = nodes.add("Conv", point, nodes.constant("points", weights), nodes.constant("squares", squares))
    least = nodes.over_channels("ReduceMin", bracket)
    own = nodes.over_channels("ReduceSumSquare", point)
    return nodes.add("Sqrt", nodes.add("Relu", nodes.add("Add", least, own)))


def _smoothed(nodes: _Nodes, distances: str) -> str:
    steps = np.arange(_SMOOTH_SIZE) - _SMOOTH_SIZE // 2
    bell = np.exp(-(steps**2) / (2 * _SMOOTH_SIGMA**2))
    weights = (np.outer(bell, bell) / bell.sum() ** 2)[None, None].astype(np.float32)
    edge = _SMOOTH_SIZE // 2
    pads = nodes.constant("edge", np.array([0, 0, edge, edge, 0, 0, edge, edge], np.int64))
    padded = nodes.add("Pad", distances, pads, mode="edge")
    return nodes.add("Conv", padded, nodes.constant("smooth", weights))


def _declare(model: onnx.ModelProto, name: str, shape: list[int | str]) -> None:
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
