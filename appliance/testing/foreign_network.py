"""Files as other people's exporters write them: a detector of red and blue cells, in every form the import takes.

The picture is averaged over cells of 8, 16 and 32 px; each cell is a candidate, its box the cell; class `red` scores
the cell's red mean, class `blue` its blue mean, both for values of 0..1: a YOLOv8-like output (N, 6, cells).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STRIDES_PX = (8, 16, 32)
NAMES = {"names": "{0: 'red', 1: 'blue'}"}
"""Metadata as Ultralytics writes them."""
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def foreign_network(
    *,
    width: int = 64,
    height: int = 96,
    layout: Literal["NCHW", "NHWC"] = "NCHW",
    dtype: Literal["float32", "float16", "uint8"] = "float32",
    channels: int = 3,
    batch: int | str = "N",
    free_size: bool = False,
    lists_weights: bool = False,
    fixes_reshapes: bool = False,
    quantises: Literal["no", "qdq", "dynamic"] = "no",
    sizes_input: bool = False,
    opset: int = 17,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Write a file.

    Args:
        batch: A name for a free one.
        free_size: Height and width are names.
        lists_weights: As IR 3 does: weights are inputs too.
        fixes_reshapes: Reshapes name the batch 1 instead of keeping it.
        quantises: The picture is quantised first, with a fixed scale or one of the whole batch.
        sizes_input: A second input `orig_target_sizes` (N, 2) int64, width first, scales the boxes.
        metadata: Default: class names as Ultralytics writes them.
    """
    writer = _Writer("float16" if dtype == "float16" else "float32")
    name = "images"
    if dtype == "uint8":
        name = writer.node("Cast", [name], to=TensorProto.FLOAT)
        name = writer.node("Div", [name, writer.constant(np.array(255))])
    if layout == "NHWC":
        name = writer.node("Transpose", [name], perm=[0, 3, 1, 2])
    if quantises != "no":
        name = writer.quantised(name, by_batch=quantises == "dynamic")
    rows = [_scores(writer, name, stride, channels, batch=1 if fixes_reshapes else 0) for stride in STRIDES_PX]
    scores = writer.node("Concat", rows, axis=2)
    boxes = writer.constant(np.concatenate([_cells(width, height, stride) for stride in STRIDES_PX], axis=2))
    if sizes_input:
        boxes = _scaled(writer, boxes, width, height)
    nothing = writer.node("Mul", [writer.node("Slice", [scores, *map(writer.index, (0, 1, 1))]), writer.zero()])
    found = writer.node("Concat", [writer.node("Add", [nothing, boxes]), scores], axis=1)
    writer.nodes.append(helper.make_node("Identity", [found], ["output0"]))
    size: tuple[int | str, int | str] = ("height", "width") if free_size else (height, width)
    shape = [batch, channels, *size] if layout == "NCHW" else [batch, *size, channels]
    inputs = [helper.make_tensor_value_info("images", _TYPES[dtype], shape)]
    if sizes_input:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [batch, 2]))
    if lists_weights:
        inputs += [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in writer.weights]
    cells = sum((width // stride) * (height // stride) for stride in STRIDES_PX)
    output = helper.make_tensor_value_info(
        "output0", _TYPES["float16" if dtype == "float16" else "float32"], [batch, 6, "cells" if free_size else cells]
    )
    graph = helper.make_graph(writer.nodes, "foreign", inputs, [output], writer.weights)
    return _file(graph, opset, 3 if lists_weights else 8, NAMES if metadata is None else metadata)


def _file(graph: Any, opset: int, ir_version: int, metadata: Mapping[str, str]) -> bytes:
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="exporter")
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class _Writer:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, values: NDArray[Any], dtype: str | None = None) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(dtype or self.dtype), name))
        return name

    def index(self, value: int) -> str:
        return self.constant(np.array([value]), "int64")

    def zero(self) -> str:
        return self.constant(np.array(0))

    def quantised(self, name: str, *, by_batch: bool) -> str:
        if not by_batch:
            scale = [self.constant(np.array(1 / 255)), self.constant(np.array(0), "uint8")]
            return self.node("DequantizeLinear", [self.node("QuantizeLinear", [name, *scale]), *scale])
        outputs = [f"q{index}" for index in range(3)]
        self.nodes.append(helper.make_node("DynamicQuantizeLinear", [name], outputs))
        return self.node("DequantizeLinear", outputs)


def _scores(writer: _Writer, name: str, stride: int, channels: int, *, batch: int) -> str:
    """Means of the cells, red and blue, as (N, 2, cells)."""
    weights = np.zeros((2, channels, 1, 1))
    weights[0, 0] = weights[1, channels - 1] = 1
    means = writer.node("AveragePool", [name], kernel_shape=[stride] * 2, strides=[stride] * 2)
    picked = writer.node("Conv", [means, writer.constant(weights)], kernel_shape=[1, 1])
    return writer.node("Reshape", [picked, writer.constant(np.array([batch, 2, -1]), "int64")])


def _scaled(writer: _Writer, boxes: str, width: int, height: int) -> str:
    """Bring boxes from the input's size to the one that is fed."""
    sizes = writer.node("Cast", ["orig_target_sizes"], to=TensorProto.FLOAT)
    share = writer.node("Div", [sizes, writer.constant(np.array([width, height]))])
    twice = writer.node("Concat", [share, share], axis=1)
    return writer.node("Mul", [boxes, writer.node("Reshape", [twice, writer.constant(np.array([-1, 4, 1]), "int64")])])


def _cells(width: int, height: int, stride: int) -> NDArray[np.float32]:
    """Centre and size of each cell, (1, 4, cells)."""
    y, x = np.mgrid[0 : height // stride, 0 : width // stride].reshape(2, -1) * stride + stride / 2
    size = np.full_like(x, stride)
    return np.stack([x, y, size, size])[None].astype(np.float32)
