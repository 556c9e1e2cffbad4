"""A first convolution of one grey channel and wide stride, rewritten to read blocks of columns as channels.

ONNX Runtime's fast 8-bit convolution needs 4 input channels or more; with one it copies every pixel many times
(measured: 1.8 ms against 0.7 ms of a 6x6 convolution of stride 4 over 640x640 px). A row of W pixels is, without moving
a byte, W / s places of s channels, and a convolution of stride s over columns is one of stride 1 over those places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from appliance.modelling.bundle import ModelInput
from appliance.modelling.quantise.graph import Graph, attributes
from appliance.modelling.quantise.input_path import InputPath

LEAST_STRIDE = 4
_SHAPE, _PLACES, _CHANNELS = "columns_shape", "columns_as_places", "columns_as_channels"


def columns_to_channels(graph: Graph, model_input: ModelInput, path: InputPath) -> bool:
    """Rewrite the first convolution where that is exact; returns whether it was.

    Args:
        path: The way of the pixels, straightened. It must lead, without a change of layout, to a convolution of one
            channel whose horizontal stride is 4 or more and divides the width.
    """
    readers, constants = graph.readers(), graph.constants()
    first, after = readers[model_input.name], readers[path.tensor]
    if len(first) != 1 or first[0].op_type != "Cast" or model_input.frame_shape[0] != 1:
        return False
    if len(after) != 1 or after[0].op_type != "Conv" or after[0].input[1] not in constants:
        return False
    cast, conv = first[0], after[0]
    kernel = constants[conv.input[1]]
    if not _is_suited(conv, kernel, model_input.width):
        return False
    top, left, bottom, right = attributes(conv).get("pads", [0, 0, 0, 0])
    stride_y, stride_x = attributes(conv)["strides"]
    weights, before = _blocked(kernel, left, stride_x)
    places, rows, columns = model_input.width // stride_x, *weights.shape[2:]
    outputs = (model_input.width + left + right - kernel.shape[3]) // stride_x + 1
    behind = outputs - 1 + columns - before - places
    graph.set_constant(_SHAPE, np.array([0, model_input.height, places, stride_x], np.int64))
    graph.set_constant(conv.input[1], weights)
    ways = [
        helper.make_node("Reshape", [model_input.name, _SHAPE], [_PLACES], name=_PLACES),
        helper.make_node("Transpose", [_PLACES], [_CHANNELS], name=_CHANNELS, perm=[0, 3, 1, 2]),
    ]
    cast.input[0] = _CHANNELS
    _set_attributes(conv, stride_y, [rows, columns], [top, before, bottom, behind])
    graph.set_nodes([*ways, *graph.nodes])
    return True


def _is_suited(conv: Any, weights: NDArray[Any], width: int) -> bool:
    known = attributes(conv)
    pads, stride_x = known.get("pads", [0, 0, 0, 0]), known.get("strides", [1, 1])[1]
    return (
        weights.shape[1] == 1
        and known.get("group", 1) == 1
        and all(step == 1 for step in known.get("dilations", [1, 1]))
        and known.get("auto_pad", b"NOTSET") == b"NOTSET"
        and stride_x >= LEAST_STRIDE
        and width % stride_x == 0
        and (width + pads[1] + pads[3] - weights.shape[3]) // stride_x + 1 >= width // stride_x  # no negative padding
    )


def _blocked(weights: NDArray[Any], left: int, stride: int) -> tuple[NDArray[np.float32], int]:
    """Return weights (outputs, stride, rows, places) and how many places lie before the first one of the frame."""
    outputs, _, rows, columns = weights.shape
    before = -(-left // stride)
    places = before + (columns - 1 - left) // stride + 1
    blocked = np.zeros((outputs, stride, rows, places), np.float32)
    for column in range(columns):
        place, channel = divmod(column - left, stride)
        blocked[:, channel, :, place + before] = weights[:, 0, :, column]
    return blocked, before


def _set_attributes(conv: Any, stride_y: int, kernel: list[int], pads: list[int]) -> None:
    del conv.attribute[:]
    known = {"kernel_shape": kernel, "strides": [stride_y, 1], "pads": pads}
    conv.attribute.extend(helper.make_attribute(name, value) for name, value in known.items())
