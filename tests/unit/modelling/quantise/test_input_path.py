from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from appliance.modelling import ModelInput
from appliance.modelling.quantise.columns import columns_to_channels
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.input_path import straighten
from appliance.modelling.quantise.runtime import open_session

IMAGENET_MEAN = np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1)
IMAGENET_STD = np.array([58.395, 57.12, 57.375], np.float32).reshape(1, 3, 1, 1)


@dataclass(frozen=True)
class Case:
    """A way from pixels to a first convolution, and what must become of it."""

    name: str
    is_grey: bool
    steps: tuple[tuple[str, np.ndarray], ...]
    pads: int
    zero_point: int | None
    repeats: int = 1
    scale: float = 1.0
    is_path: bool = True


GREYS = np.float32
CASES = [
    Case("raw pixels", is_grey=True, steps=(), pads=1, zero_point=0),
    Case("a 255th", is_grey=True, steps=(("Div", GREYS(255)),), pads=1, zero_point=0, scale=1 / 255),
    Case(
        "minus one to one",
        is_grey=False,
        steps=(("Sub", GREYS(127)), ("Div", GREYS(128))),
        pads=1,
        zero_point=127,
        scale=1 / 128,
    ),
    Case("grey for three channels", is_grey=True, steps=(("Mul", GREYS(1 / 255)),), pads=1, zero_point=0, repeats=3),
    Case(
        "mean and std of each channel without padding",
        is_grey=False,
        steps=(("Sub", IMAGENET_MEAN), ("Div", IMAGENET_STD)),
        pads=0,
        zero_point=0,
    ),
    Case(
        "grey for three channels with mean and std without padding",
        is_grey=True,
        steps=(("Sub", IMAGENET_MEAN), ("Div", IMAGENET_STD)),
        pads=0,
        zero_point=0,
        repeats=3,
    ),
    Case("std of each channel", is_grey=False, steps=(("Div", IMAGENET_STD),), pads=1, zero_point=0),
    Case(
        "mean of each channel, padded",
        is_grey=False,
        steps=(("Sub", IMAGENET_MEAN), ("Div", IMAGENET_STD)),
        pads=1,
        zero_point=None,
        is_path=False,
    ),
    Case("half a grey value", is_grey=True, steps=(("Sub", GREYS(127.5)),), pads=1, zero_point=None),
]


def network(case: Case) -> onnx.ModelProto:
    constants, nodes, name = {}, [], "pixels"
    channels = 1 if case.is_grey and case.repeats == 1 else 3
    if not case.is_grey:
        nodes.append(helper.make_node("Transpose", [name], ["planes"], perm=[0, 3, 1, 2]))
        name = "planes"
    per_channel = any(value.ndim for _, value in case.steps)
    if case.repeats > 1 and per_channel:
        nodes.append(helper.make_node("Concat", [name] * case.repeats, ["repeated"], axis=1))
        name = "repeated"
    nodes.append(helper.make_node("Cast", [name], ["grey"], to=TensorProto.FLOAT))
    name = "grey"
    for number, (kind, value) in enumerate(case.steps):
        constants[f"c{number}"] = value
        nodes.append(helper.make_node(kind, [name, f"c{number}"], [f"step{number}"]))
        name = f"step{number}"
    if case.repeats > 1 and not per_channel:
        nodes.append(helper.make_node("Concat", [name] * case.repeats, ["repeated"], axis=1))
        name = "repeated"
    constants["weights"] = np.random.default_rng(3).normal(size=(4, channels, 3, 3)).astype(np.float32)
    nodes.append(helper.make_node("Conv", [name, "weights"], ["out"], pads=[case.pads] * 4, kernel_shape=[3, 3]))
    shape = ["N", 1, 6, 8] if case.is_grey else ["N", 6, 8, 3]
    graph = helper.make_graph(
        nodes,
        "way",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, list("nchw"))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def model_input(*, is_grey: bool, width: int = 8, height: int = 6) -> ModelInput:
    return ModelInput(
        name="pixels",
        layout="NCHW" if is_grey else "NHWC",
        dtype="uint8",
        pixel_format="Mono8" if is_grey else "RGB8",
        height=height,
        width=width,
        fit="exact",
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_straightened_network_computes_what_it_did(case):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 6, 8) if case.is_grey else (2, 6, 8, 3), np.uint8)
    graph = Graph(network(case))
    before = open_session(graph.model).run(None, {"pixels": pixels})[0]
    path = straighten(graph, model_input(is_grey=case.is_grey))
    onnx.checker.check_model(graph.model)
    after = open_session(graph.model).run(None, {"pixels": pixels})[0]
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()
    assert (path is not None) == case.is_path
    if path is not None:
        assert path.zero_point == case.zero_point
        if case.repeats == 1:
            assert path.scale == pytest.approx(case.scale)


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"), [(6, 4, (1, 1, 1, 1)), (4, 4, (0, 0, 0, 0)), (7, 4, (3, 3, 3, 3))]
)
def test_columns_as_channels_give_the_same_convolution(kernel, stride, pads):
    weights = np.random.default_rng(2).normal(size=(5, 1, kernel, kernel)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["grey"], to=TensorProto.FLOAT),
            helper.make_node(
                "Conv", ["grey", "weights"], ["out"], pads=pads, kernel_shape=[kernel] * 2, strides=[stride] * 2
            ),
        ],
        "stem",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 1, 24, 32])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, list("nchw"))],
        [numpy_helper.from_array(weights, "weights")],
    )
    network = Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    frame = model_input(is_grey=True, width=32, height=24)
    pixels = np.random.default_rng(4).integers(0, 256, (2, 1, 24, 32), np.uint8)
    before = open_session(network.model).run(None, {"pixels": pixels})[0]
    path = straighten(network, frame)
    assert path is not None
    assert columns_to_channels(network, frame, path)
    onnx.checker.check_model(network.model)
    after = open_session(network.model).run(None, {"pixels": pixels})[0]
    assert after.shape == before.shape
    assert np.abs(after - before).max() <= 1e-4 * np.abs(before).max()


def test_narrow_strides_are_left_as_they_are():
    case = next(case for case in CASES if case.name == "raw pixels")
    graph = Graph(network(case))
    path = straighten(graph, model_input(is_grey=True))
    assert path is not None
    assert not columns_to_channels(graph, model_input(is_grey=True), path)
