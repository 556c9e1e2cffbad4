import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from appliance.errors import ModelError
from appliance.modelling.gate.graph_check import check_graph
from appliance.modelling.gate.limits import GraphLimits
from appliance.modelling.gate.size_check import check_sizes
from appliance.testing.tiny_detector import tiny_network

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
WHERE = "model tabs"
MODELS = Path(__file__).parents[4] / "models"
HONEST = tiny_network(64, 48, None, None, fails_on_white=False)
IN, OUT = helper.make_tensor_value_info("x", FLOAT, [1, 4]), helper.make_tensor_value_info("y", FLOAT, None)


def model(*nodes: onnx.NodeProto, constants: tuple[TensorProto, ...] = (), **more: object) -> ModelProto:
    graph = helper.make_graph(list(nodes), "g", [IN], [OUT], list(constants))
    return helper.make_model(graph, **{"opset_imports": [helper.make_opsetid("", 17)], "ir_version": 9, **more})


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(operator: str, *inputs: str, domain: str = "", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), ["y"], name="n1", domain=domain, **attributes)


def external(location: str) -> ModelProto:
    weights = TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    return model(node("Add", "x", "w"), constants=(weights,))


def external_in_attribute() -> ModelProto:
    value = TensorProto(name="v", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="weights.bin")
    return model(helper.make_node("Constant", [], ["y"], name="n1", value=value))


def external_in_function() -> ModelProto:
    value = external_in_attribute().graph.node[0]
    body = helper.make_function("mine", "F", ["x"], ["y"], [value], [helper.make_opsetid("", 17)])
    return model(node("F", "x", domain="mine"), functions=[body])


def nested_if(depth: int) -> ModelProto:
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "leaf", [], [OUT])
    inner.output[0].name = "z"
    for level in range(depth):
        branches = {"then_branch": inner} | (
            {"else_branch": inner} if level < 3 else {}
        )  # both at every level: 2**depth
        branch = helper.make_node("If", ["c"], ["z"], name=f"if{level}", **branches)
        inner = helper.make_graph([branch], f"level{level}", [], [inner.output[0]])
    return model(*inner.node, constants=(numpy_helper.from_array(np.array(True), "c"),))


def doubling_functions(levels: int) -> ModelProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    functions = [helper.make_function("mine", "F0", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], opsets)]
    for level in range(1, levels):
        calls = [
            helper.make_node(f"F{level - 1}", ["x"], ["t"], domain="mine"),
            helper.make_node(f"F{level - 1}", ["t"], ["y"], domain="mine"),
        ]
        functions.append(helper.make_function("mine", f"F{level}", ["x"], ["y"], calls, opsets))
    return model(node(f"F{levels - 1}", "x", domain="mine"), functions=functions)


def recursive_function() -> ModelProto:
    opsets = [helper.make_opsetid("mine", 1)]
    body = helper.make_function("mine", "F", ["x"], ["y"], [helper.make_node("F", ["x"], ["y"], domain="mine")], opsets)
    return model(node("F", "x", domain="mine"), functions=[body])


def custom_operator_in_branch() -> ModelProto:
    foreign = helper.make_node("Run", ["x"], ["z"], name="r", domain="evil.ops")
    branch = helper.make_graph([foreign], "b", [], [helper.make_tensor_value_info("z", FLOAT, None)])
    yes = numpy_helper.from_array(np.array(True), "c")
    return model(node("If", "c", then_branch=branch, else_branch=branch), constants=(yes,))


def sparse_bomb() -> ModelProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    sparse = helper.make_sparse_tensor(values, ints("i", 0), [1 << 40])
    made = model(node("Add", "x", "s"))
    made.graph.sparse_initializer.append(sparse)
    return made


def sequence_output() -> ModelProto:
    made = model(node("SequenceConstruct", "x"))
    made.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", FLOAT, None))
    return made


def with_training() -> ModelProto:
    made = model(node("Relu", "x"))
    made.training_info.add()
    return made


TEXT = helper.make_tensor("t", TensorProto.STRING, [1], [b"text"])
HUGE = TensorProto(name="w", data_type=FLOAT, dims=[1 << 20, 1 << 20])
NEGATIVE = TensorProto(name="w", data_type=FLOAT, dims=[-1, 4])


@dataclass(frozen=True)
class Hostile:
    name: str
    make: Callable[[], ModelProto]
    words: str


REFUSED_UNSEEN = [
    Hostile("external data, relative", lambda: external("weights.bin"), r"initializer 'w' lies in another file, 'wei"),
    Hostile("external data, absolute", lambda: external("/etc/shadow"), r"another file, '/etc/shadow'; put everything"),
    Hostile("external data, above", lambda: external("../../key.pem"), r"another file, '\.\./\.\./key\.pem'"),
    Hostile("external data in an attribute", external_in_attribute, "attribute 'value' lies in another file"),
    Hostile("external data in a function", external_in_function, "function F: node .* lies in another file"),
    Hostile(
        "custom operator", lambda: model(node("Run", "x", domain="evil.ops")), r"n1 \(Run\) is of domain 'evil\.ops'"
    ),
    Hostile("custom operator in a branch", custom_operator_in_branch, r"graph/n1 \(If\)\.\w+_branch: node r \(Run\)"),
    Hostile(
        "operator that loads a file", lambda: model(node("EPContext", domain="com.microsoft")), "loads another file"
    ),
    Hostile("nested If", lambda: nested_if(9), r"is nested 9 deep, expected 8 at most"),
    Hostile(
        "huge initializer", lambda: model(node("Add", "x", "w"), constants=(HUGE,)), r"4,194,304 MiB; expected 4096"
    ),
    Hostile("negative shape", lambda: model(node("Add", "x", "w"), constants=(NEGATIVE,)), r"shape \(-1, 4\)"),
    Hostile("sparse tensor that unfolds", sparse_bomb, r"sparse initializer 's' has shape \(1099511627776,\)"),
    Hostile("text", lambda: model(node("Add", "x", "t"), constants=(TEXT,)), "'t' holds text"),
    Hostile("text of numbers", lambda: model(node("Cast", "x", to=TensorProto.STRING)), "makes text of numbers"),
    Hostile(
        "opset of the future", lambda: model(node("Relu", "x"), opset_imports=[helper.make_opsetid("", 999)]), "999"
    ),
    Hostile("functions that double", lambda: doubling_functions(40), r"has 549755813888 nodes, expected 100000"),
    Hostile("function that calls itself", recursive_function, "function F calls itself"),
    Hostile("sequence output", sequence_output, r"'y' is no tensor of numbers \(sequence_type\)"),
    Hostile("training graph", with_training, "holds training graphs"),
]


@pytest.mark.parametrize("case", REFUSED_UNSEEN, ids=lambda case: case.name)
def test_hostile_model_is_refused_without_running_it(case: Hostile) -> None:
    with pytest.raises(ModelError, match=case.words) as refused:
        check_graph(case.make().SerializeToString(), WHERE)
    assert str(refused.value).startswith("model tabs: model.onnx ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("nodes", [0, 1, 5])
def test_limits_are_where_they_are_said_to_be(nodes: int) -> None:
    check_graph(HONEST, WHERE, GraphLimits(nodes=7 + 1))
    with pytest.raises(ModelError, match=f"has 8 nodes, expected {nodes} at most"):
        check_graph(HONEST, WHERE, GraphLimits(nodes=nodes))
    with pytest.raises(ModelError, match="expected 0 at most"):
        check_graph(HONEST, WHERE, GraphLimits(file_mb=0))
    check_graph(nested_if(8).SerializeToString(), WHERE)


def test_what_is_no_onnx_is_refused() -> None:
    draw = random.Random(7)
    for content in (b"", b"\x00", b"hello", draw.randbytes(10_000), HONEST[:-1], HONEST[: len(HONEST) // 2]):
        with pytest.raises(ModelError, match="is no ONNX file"):
            check_graph(content, WHERE)


def test_arbitrary_damage_gives_a_model_or_a_refusal_and_nothing_else() -> None:
    draw, refused = random.Random(8), 0
    for _ in range(300):
        content = bytearray(HONEST)
        for _ in range(draw.randrange(1, 6)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            check_sizes(check_graph(bytes(content), WHERE), WHERE, batch=1)
        except ModelError:
            refused += 1
    assert 0 < refused < 300


TOO_LARGE = [
    Hostile(
        "4 TiB of zeros",
        lambda: model(node("ConstantOfShape", "s"), constants=(ints("s", 1 << 20, 1 << 20),)),
        r"node n1 \(ConstantOfShape\) makes a tensor of shape \(1048576, 1048576\), 4,096\.0 GiB; expected 4\.0 GiB",
    ),
    Hostile("Tile bomb", lambda: model(node("Tile", "x", "r"), constants=(ints("r", 1 << 20, 1 << 10),)), "Tile"),
    Hostile("Expand bomb", lambda: model(node("Expand", "x", "s"), constants=(ints("s", 1 << 30, 4),)), "Expand"),
    Hostile("Pad bomb", lambda: model(node("Pad", "x", "p"), constants=(ints("p", 0, 0, 1 << 30, 0),)), "Pad"),
]


@pytest.mark.parametrize("case", TOO_LARGE, ids=lambda case: case.name)
def test_tensors_that_grow_from_constants_are_refused(case: Hostile) -> None:
    with pytest.raises(ModelError, match=case.words):
        check_sizes(check_graph(case.make().SerializeToString(), WHERE), WHERE, batch=1)


def test_growth_of_several_steps_is_refused() -> None:
    steps = [helper.make_node("Tile", [f"t{i}", "r"], [f"t{i + 1}"], name=f"tile{i}") for i in range(40)]
    steps[0].input[0], steps[-1].output[0] = "x", "y"
    bomb = model(*steps, constants=(ints("r", 1, 4),))
    with pytest.raises(ModelError, match=r"node tile\d+ \(Tile\)"):
        check_sizes(check_graph(bomb.SerializeToString(), WHERE), WHERE, batch=1)


def test_batch_counts_for_the_size() -> None:
    honest = check_graph(HONEST, WHERE)
    check_sizes(honest, WHERE, batch=1)
    with pytest.raises(ModelError, match="GiB"):
        check_sizes(check_graph(HONEST, WHERE), WHERE, batch=1 << 20)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/model.onnx")), ids=lambda path: path.parent.name)
def test_networks_of_the_repository_pass(path: Path) -> None:
    check_sizes(check_graph(path.read_bytes(), WHERE), WHERE, batch=8)
