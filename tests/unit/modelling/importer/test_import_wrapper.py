import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.modelling.importer.build import Built, build_job, build_request, built_of
from appliance.modelling.importer.facts import ImportOptions, Preprocessing
from appliance.modelling.importer.picture import natural_picture
from appliance.testing.foreign_network import foreign_network


def built(content: bytes, preprocessing: Preprocessing, **request: Any) -> Built:
    asked = build_request(ImportOptions(), preprocessing, request.get("outputs", ["output0"]), request.get("rows"))
    told, blobs = build_job(asked, [memoryview(content)], lambda _: None)
    return built_of(told, [bytes(blob) for blob in blobs])


def ran(content: bytes, **feeds: NDArray[Any]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return list(ort.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, feeds))


@dataclass(frozen=True)
class Case:
    """One way a network wants its pictures, and the same in NumPy."""

    name: str
    network: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = Preprocessing()


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CASES = [
    Case("plain"),
    Case("channels last", {"layout": "NHWC"}),
    Case("half", {"dtype": "float16"}),
    Case("half, channels last, grey", {"dtype": "float16", "layout": "NHWC"}, Preprocessing("Mono8")),
    Case("uint8", {"dtype": "uint8"}),
    Case("uint8, channels last, grey", {"dtype": "uint8", "layout": "NHWC"}, Preprocessing("Mono8")),
    Case("blue first, 0..255", {}, Preprocessing("BGR8", divisor=1)),
    Case("mean and deviation of each channel", {}, Preprocessing(**IMAGENET)),
    Case("mean and deviation, channels last", {"layout": "NHWC"}, Preprocessing(**IMAGENET)),
    Case("mean and deviation of each channel, grey", {}, Preprocessing("Mono8", **IMAGENET)),
    Case("one mean", {}, Preprocessing(divisor=1, mean=(127,), std=(128,))),
    Case("grey to three channels", {}, Preprocessing("Mono8")),
    Case("one channel", {"channels": 1}, Preprocessing("Mono8")),
    Case("one channel, last, half", {"channels": 1, "layout": "NHWC", "dtype": "float16"}, Preprocessing("Mono8")),
    Case("weights as inputs", {"lists_weights": True}),
    Case("sizes as second input", {"sizes_input": True}),
    Case("sizes as second input, fixed batch", {"sizes_input": True, "batch": 2}),
    Case("quantised", {"quantises": "qdq"}),
    Case("quantised by the batch", {"quantises": "dynamic"}),
    Case("fixed batch", {"batch": 3}),
    Case("batch of one", {"batch": 1}),
    Case("batch of one in its reshapes", {"batch": 1, "fixes_reshapes": True}),
    Case("opset 12", {"opset": 12}),
]


def by_numpy(case: Case, frames: NDArray[np.uint8]) -> NDArray[Any]:
    """(N, H, W, C) uint8 as the network wants them; written here once more, on purpose."""
    channels = case.network.get("channels", 3)
    values: NDArray[Any] = np.repeat(frames, channels, axis=3) if frames.shape[3] < channels else frames
    dtype = case.network.get("dtype", "float32")
    if dtype != "uint8":
        plan = case.preprocessing
        scaled = values.astype(np.float32) / np.float32(plan.divisor)
        values = (scaled - np.float32(plan.mean or 0)) / np.float32(plan.std or 1)
    if case.network.get("layout", "NCHW") == "NCHW":
        values = np.moveaxis(values, 3, 1)
    return values.astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrapped_network_computes_what_the_file_does(case: Case) -> None:
    content = foreign_network(**case.network)
    result = built(content, case.preprocessing)
    count = result.batch or 2
    frames = np.stack([natural_picture(96, 64, seed) for seed in range(40, 40 + count)])
    frames = frames[..., :1] if case.preprocessing.pixel_format == "Mono8" else frames
    declared = case.network.get("batch", "N")
    # One by one where the file's own batch asks for it: then a wrongly mixed batch shows.
    per_run = declared if isinstance(declared, int) else 1
    expected = []
    for first in range(0, count, per_run):
        feeds = {"images": by_numpy(case, frames[first : first + per_run])}
        if case.network.get("sizes_input"):
            feeds["orig_target_sizes"] = np.array([[64, 96]] * per_run, np.int64)
        expected += ran(content, **feeds)
    is_grey = case.preprocessing.pixel_format == "Mono8"
    pixels = np.ascontiguousarray(frames.transpose(0, 3, 1, 2)) if is_grey else frames
    (output,) = ran(result.onnx_bytes, **{result.input_name: pixels})
    assert output.dtype == np.float32
    tolerance = 1e-3 if case.network.get("dtype") == "float16" else 1e-5
    assert output == pytest.approx(np.concatenate(expected).astype(np.float32), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrapped_network_is_plain_onnx_with_one_uint8_input(case: Case) -> None:
    result = built(foreign_network(**case.network), case.preprocessing)
    model = onnx.load_model_from_string(result.onnx_bytes)
    onnx.checker.check_model(model, full_check=True)
    (pixels,) = model.graph.input
    shape = [dim.dim_param or dim.dim_value for dim in pixels.type.tensor_type.shape.dim]
    is_grey = case.preprocessing.pixel_format == "Mono8"
    assert shape == [result.batch or "N", *((1, 96, 64) if is_grey else (96, 64, 3))]
    assert pixels.type.tensor_type.elem_type == TensorProto.UINT8
    assert result.outputs == ((result.outputs[0][0], (result.batch or "N", 6, 126)),)


def test_same_file_gives_the_same_bytes() -> None:
    for case in CASES[:8]:
        content = foreign_network(**case.network)
        assert built(content, case.preprocessing).onnx_bytes == built(content, case.preprocessing).onnx_bytes


@pytest.mark.parametrize(
    ("network", "batch", "note"),
    [
        ({"batch": "N"}, 0, []),
        ({"batch": 1}, 0, []),
        ({"batch": 1, "fixes_reshapes": True}, 0, []),
        ({"batch": 3}, 3, ["batch 3 is fixed in the file"]),
        ({"quantises": "dynamic"}, 1, ["batch 1: dynamic INT8 scales by the whole batch"]),
        ({"batch": "N", "fixes_reshapes": True}, 1, ["fails on a picture|something else"]),
    ],
)
def test_batch_is_as_free_as_runs_prove(network: dict[str, Any], batch: int, note: Sequence[str]) -> None:
    result = built(foreign_network(**network), Preprocessing())
    assert result.batch == batch
    for said, words in zip(result.notes, note, strict=True):
        assert re.search(words, said)


def test_names_that_the_file_has_already_are_left_alone() -> None:
    model = onnx.load_model_from_string(foreign_network())
    model.graph.node[-1].input[0] = "pixels"
    model.graph.node[-2].output[0] = "pixels"
    model.graph.node[0].name = "appliance_Cast"
    assert built(model.SerializeToString(), Preprocessing()).input_name == "pixels_2"


def lists(count_from: float) -> bytes:
    """Boxes and labels as torchvision writes them: no batch axis, as many rows as there are."""
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["rows"], axes=[0, 2], keepdims=0),
        helper.make_node("Greater", ["rows", "limit"], ["bright"]),
        helper.make_node("NonZero", ["bright"], ["where"]),
        helper.make_node("Transpose", ["where"], ["index"], perm=[1, 0]),
        helper.make_node("Reshape", ["index", "flat"], ["labels"]),
        helper.make_node("Cast", ["index"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["y"] * 4, ["boxes"], axis=1),
        helper.make_node("Sin", ["y"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lists",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [3, 8, 8])],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["K"]),
            helper.make_tensor_value_info("unused", TensorProto.FLOAT, ["K", 1]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["K", 4]),
        ],
        [
            numpy_helper.from_array(np.array(count_from, np.float32), "limit"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_lists_without_a_batch_axis_get_one_and_a_fixed_number_of_rows() -> None:
    result = built(lists(0.8), Preprocessing(), outputs=["boxes", "labels"], rows=5)
    assert [shape for _, shape in result.outputs] == [(1, 5, 4), (1, 5)]
    assert result.batch == 1
    frame = np.zeros((1, 8, 8, 3), np.uint8)
    frame[0, [2, 6], 3] = 255
    boxes, labels = ran(result.onnx_bytes, **{result.input_name: frame})
    assert labels.tolist() == [[2, 6, 0, 0, 0]]
    assert boxes[0, :, 0].tolist() == [2, 6, 0, 0, 0]
    (full, _) = ran(result.onnx_bytes, **{result.input_name: np.full_like(frame, 255)})
    assert full[0, :, 0].tolist() == [0, 1, 2, 3, 4]


def test_outputs_that_nobody_needs_go_with_their_nodes() -> None:
    result = built(lists(0.8), Preprocessing(), outputs=["labels"], rows=5)
    assert "Sin" not in {node.op_type for node in onnx.load_model_from_string(result.onnx_bytes).graph.node}


def test_nodes_in_any_order_are_put_in_order() -> None:
    model = onnx.load_model_from_string(foreign_network())
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    result = built(model.SerializeToString(), Preprocessing())
    onnx.checker.check_model(onnx.load_model_from_string(result.onnx_bytes))
