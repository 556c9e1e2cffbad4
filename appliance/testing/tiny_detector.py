"""A detector without training that finds bright cells: loads in milliseconds, runs in the real ONNX Runtime.

Each 16x16 cell of the image is one candidate; its box is the cell, its score for class `bright` the cell's mean
grey / 255. Class `dark` never scores. Two faults can be built in, both chosen by the pixels, so a test decides frame by
frame: a frame with mean grey below `nan_below` makes NaN, a batch that holds the grey value 255 makes the run fail.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from appliance.modelling import ModelBundle, load_bundle
from appliance.modelling.bundle_files import write_seal

CELL_PX = 16
CLASS_NAMES = ("bright", "dark")

_CONTRACT = """
schema_version = 2
name = "{name}"
task = "detect"
family = "yolov8"
created_at = 2026-01-01T00:00:00Z
opset = 17
[input]
name = "images"
layout = "NCHW"
dtype = "uint8"
pixel_format = "Mono8"
height = {height}
width = {width}
batch = {fixed_batch}
fit = "{fit}"
[[outputs]]
name = "candidates"
shape = [{batch}, 6, {cells}]
dtype = "float32"
[classes]
names = ["bright", "dark"]
[thresholds]
score = 0.5
nms_iou = 0.5
score_method = "given"
[training]
data = "none"
licence = "none"
epochs = 0
seed = 0
minutes = 0.0
machine = "none"
command = "none"
[training.groups]
[files]
"model.onnx" = "{sha256}"
[metrics]
"""


def write_tiny_bundle(
    folder: Path,
    *,
    width: int = 64,
    height: int = 48,
    fit: str = "exact",
    fixed_batch: int | None = None,
    nan_below: float | None = None,
    fails_on_white: bool = False,
) -> ModelBundle:
    """Write the bundle to `folder`, which is made, and load it. Width and height are multiples of 16 px."""
    network = tiny_network(width, height, fixed_batch, nan_below, fails_on_white=fails_on_white)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(network)
    cells = (width // CELL_PX) * (height // CELL_PX)
    sha256 = hashlib.sha256(network).hexdigest()
    contract = _CONTRACT.format(
        name=folder.name,
        width=width,
        height=height,
        fit=fit,
        batch=fixed_batch or '"N"',
        fixed_batch=fixed_batch or 0,
        cells=cells,
        sha256=sha256,
    )
    (folder / "model.toml").write_text(contract)
    write_seal(folder)
    return load_bundle(folder)


def tiny_network(
    width: int, height: int, fixed_batch: int | None, nan_below: float | None, *, fails_on_white: bool
) -> bytes:
    """Build the network; see the module's docstring."""
    columns, rows = width // CELL_PX, height // CELL_PX
    count = columns * rows
    batch: int | str = fixed_batch or "N"
    constants = {
        "boxes": _cells(columns, rows),
        "white": np.array(255, np.float32),
        "nothing": np.array(0, np.float32),
        "flat": np.array([0, 1, count], np.int64),
        "limit": np.array(nan_below or 0, np.float32),
        "under_white": np.zeros(255, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["grey"], ["means"], kernel_shape=[CELL_PX] * 2, strides=[CELL_PX] * 2),
        helper.make_node("Reshape", ["means", "flat"], ["cells"]),
        helper.make_node("Div", ["cells", "white"], ["bright"]),
        helper.make_node("Mul", ["bright", "nothing"], ["dark"]),
        helper.make_node("Add", ["dark", "boxes"], ["placed"]),
        helper.make_node("Concat", ["placed", "bright", "dark"], ["found"], axis=1),
    ]
    last = "found"
    if nan_below is not None:
        nodes += [
            helper.make_node("ReduceMean", ["cells"], ["mean"], axes=[1, 2], keepdims=1),
            helper.make_node("Sub", ["mean", "limit"], ["above"]),
            helper.make_node("Sqrt", ["above"], ["root"]),
            helper.make_node("Mul", ["root", "nothing"], ["zero_or_nan"]),
            helper.make_node("Add", [last, "zero_or_nan"], ["found_or_nan"]),
        ]
        last = "found_or_nan"
    if fails_on_white:
        nodes += [
            helper.make_node("ReduceMax", ["grey"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["under_white", "index"], ["zero"]),
            helper.make_node("Add", [last, "zero"], ["found_or_failed"]),
        ]
        last = "found_or_failed"
    nodes.append(helper.make_node("Identity", [last], ["candidates"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, 1, height, width])],
        [helper.make_tensor_value_info("candidates", TensorProto.FLOAT, [batch, 6, count])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    network: bytes = model.SerializeToString()
    return network


def _cells(columns: int, rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Centre and size of each cell, (1, 4, cells) float32."""
    y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1) * CELL_PX + CELL_PX / 2
    size = np.full_like(x, CELL_PX)
    return np.stack([x, y, size, size]).astype(np.float32)[None]
