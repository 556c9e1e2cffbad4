"""A small detector that convolves: finds bright squares, is quantised in a second, and needs no training.

Its way is that of the real ones: Cast, 1/255, a convolution of stride 4, two more with a residual, Concat, a head of
1x1, shapes computed from the input, Sigmoid. A cell of 4x4 px is a candidate; its box is the 16x16 px around it, its
score for class `bright` says how bright the cell and its neighbours are.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.modelling import ModelBundle
from appliance.modelling.bundle_writer import write_bundle

WIDTH, HEIGHT, STRIDE_PX, BOX_PX = 64, 48, 4, 16
CELLS = (WIDTH // STRIDE_PX) * (HEIGHT // STRIDE_PX)
CHANNELS = 8
DEAD = 6
"""A channel that never lights: weights that read it change nothing in float, but stretch an 8-bit scale."""


def write_convolving_bundle(folder: Path, *, hidden_weight: float = 0.0, hidden_bias: float = 0.0) -> ModelBundle:
    """Write the bundle to `folder`, which is made, and load it.

    Args:
        hidden_weight: Weight of the second convolution on the dead channel: 1000 spoils that convolution in 8 bits.
        hidden_bias: Bias of a channel of the first one that nobody heeds: 10000 spoils everything in 8 bits.
    """
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(convolving_network(hidden_weight, hidden_bias).SerializeToString())
    pixels = {"name": "images", "layout": "NCHW", "dtype": "uint8", "pixel_format": "Mono8"}
    return write_bundle(
        folder,
        {
            "schema_version": 2,
            "name": folder.name,
            "task": "detect",
            "family": "yolov8",
            "created_at": "2026-01-01T00:00:00Z",
            "opset": 17,
            "input": {**pixels, "height": HEIGHT, "width": WIDTH, "fit": "exact"},
            "outputs": [{"name": "candidates", "shape": ["N", 6, CELLS], "dtype": "float32"}],
            "classes": {"names": ["bright", "dark"]},
            "thresholds": {"score": 0.5, "nms_iou": 0.3, "score_method": "given"},
        },
    )


def frame_with_square(left: int | None, top: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Return a dark noisy frame (HEIGHT, WIDTH) uint8 with a bright square of BOX_PX, or without one."""
    frame = np.random.default_rng(seed).integers(20, 60, (HEIGHT, WIDTH), np.uint8)
    if left is not None:
        frame[top : top + BOX_PX, left : left + BOX_PX] += 180
    return frame


def convolving_network(hidden_weight: float, hidden_bias: float, stride_px: int = STRIDE_PX) -> onnx.ModelProto:
    """Build the network; see the module's docstring.

    Args:
        stride_px: 4, or 8: a grid that the importer knows, with cells of 8x8 px.
    """
    cells = (WIDTH // stride_px) * (HEIGHT // stride_px)
    nodes = [
        helper.make_node("Cast", ["images"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["grey", "per_255"], ["values"]),
        _convolution("stem", "values", "stem", kernel=stride_px + 2, stride=stride_px),
        helper.make_node("Relu", ["stem"], ["seen"]),
        _convolution("second", "seen", "second", kernel=3),
        helper.make_node("Relu", ["second"], ["second_seen"]),
        _convolution("third", "second_seen", "third", kernel=3),
        helper.make_node("Relu", ["third"], ["third_seen"]),
        helper.make_node("Add", ["seen", "third_seen"], ["sum"]),
        helper.make_node("Concat", ["sum", "second_seen"], ["features"], axis=1),
        _convolution("head", "features", "logits", kernel=1),
        helper.make_node("Shape", ["logits"], ["shape"]),
        helper.make_node("Gather", ["shape", "second_axis"], ["classes"]),
        helper.make_node("Concat", ["whole", "classes", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["logits", "flat"], ["rows"]),
        helper.make_node("Sigmoid", ["rows"], ["scores"]),
        helper.make_node("Slice", ["scores", "first", "one", "second_axis"], ["one_row"]),
        helper.make_node("Mul", ["one_row", "nothing"], ["zero_row"]),
        helper.make_node("Add", ["zero_row", "boxes"], ["placed"]),
        helper.make_node("Concat", ["placed", "scores"], ["candidates"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "convolving",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("candidates", TensorProto.FLOAT, ["N", 6, cells])],
        [
            numpy_helper.from_array(value, name)
            for name, value in _constants(hidden_weight, hidden_bias, stride_px).items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _convolution(name: str, reads: str, makes: str, kernel: int, stride: int = 1) -> onnx.NodeProto:
    pads = [(kernel - 1) // 2 if stride == 1 else 1] * 4
    weights = [f"{name}_weights", f"{name}_bias"]
    return helper.make_node(
        "Conv", [reads, *weights], [makes], name=name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads
    )


def _constants(
    hidden_weight: float, hidden_bias: float, stride_px: int
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """Channel 0 carries the mean grey from layer to layer; the others are noise of fixed seed."""
    rng = np.random.default_rng(7)
    stem = rng.normal(0, 0.02, (CHANNELS, 1, stride_px + 2, stride_px + 2))
    second, third = rng.normal(0, 0.01, (2, CHANNELS, CHANNELS, 3, 3))
    head = rng.normal(0, 0.05, (2, 2 * CHANNELS, 1, 1))
    biases = {name: np.zeros(count) for name, count in (("stem", CHANNELS), ("second", CHANNELS), ("third", CHANNELS))}
    stem[0], stem[DEAD] = 1 / (stride_px + 2) ** 2, 0.0
    second[0], third[0] = 0.0, 0.0
    second[0, 0], third[0, 0, 1, 1] = 1 / 9, 1.0
    biases["stem"][DEAD], biases["stem"][DEAD + 1] = -1.0, hidden_bias
    second[0, DEAD, 1, 1] = hidden_weight
    for weights in (second, third, head):
        weights[:, DEAD + 1] *= 0.0
    head[0, 0], head[0, CHANNELS], head[1] = 6.0, 12.0, 0.0
    boxes = _boxes(stride_px)
    constants: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "per_255": np.array(1 / 255, np.float32),
        "nothing": np.array(0, np.float32),
        "second_axis": np.array([1], np.int64),
        "first": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "whole": np.array([0], np.int64),
        "rest": np.array([boxes.shape[2]], np.int64),
        "boxes": boxes,
        "head_weights": head.astype(np.float32),
        "head_bias": np.array([-13.0 if stride_px == STRIDE_PX else -9.0, -8.0], np.float32),
    }
    for name, weights in (("stem", stem), ("second", second), ("third", third)):
        constants |= {f"{name}_weights": weights.astype(np.float32), f"{name}_bias": biases[name].astype(np.float32)}
    return constants


def _boxes(stride_px: int) -> NDArray[np.float32]:
    """Centre and size of each candidate's box, (1, 4, cells) float32."""
    rows, columns = HEIGHT // stride_px, WIDTH // stride_px
    y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1) * stride_px + stride_px / 2
    size = np.full_like(x, BOX_PX)
    return np.stack([x, y, size, size]).astype(np.float32)[None]
