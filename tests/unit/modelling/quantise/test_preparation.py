import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from appliance.errors import ModelError
from appliance.modelling import load_bundle
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.preparation import prepare
from appliance.modelling.quantise.regions import find_regions
from appliance.modelling.quantise.runtime import open_session
from appliance.modelling.quantise.trial import contract_of
from appliance.testing.convolving_detector import convolving_network, frame_with_square, write_convolving_bundle
from appliance.testing.patience import PATIENCE_S

SHIPPED = Path(__file__).parents[4] / "models/deeppcb-nano"


def test_the_shipped_detector_is_rewritten_without_a_change_of_what_it_computes():
    bundle = load_bundle(SHIPPED)
    prepared = prepare(bundle)
    frames = np.random.default_rng(0).integers(0, 256, (2, 1, 640, 640), np.uint8)
    before, after = (
        open_session(model).run(None, {bundle.input.name: frames})[0]
        for model in (onnx.load_model_from_string(bundle.onnx_bytes), prepared.graph.model)
    )
    assert np.abs(after - before).max() < 1e-3
    assert prepared.done
    assert len(prepared.regions.head) == 4
    assert {node.op_type for node in prepared.graph.nodes}.isdisjoint({"Softplus", "Gather"})
    assert prepared.path is not None
    assert prepared.path.zero_point == 0


def test_decoding_is_never_carried_in_8_bits():
    regions = find_regions(Graph(convolving_network(0.0, 0.0)), "values")
    assert (regions.weighted, regions.head) == (("stem", "second", "third", "head"), ("head",))
    graph = Graph(convolving_network(0.0, 0.0))
    kinds = {node.name: node.op_type for node in graph.nodes}
    assert [kinds[name] for name in regions.carriers] == ["Relu", "Relu", "Relu", "Add", "Concat"]


@pytest.mark.parametrize(("behind", "is_attention"), [(1, False), (2, False), (3, True)])
def test_what_follows_a_softmax_stays_in_float_unless_it_is_attention(behind, is_attention):
    names = [f"conv{number}" for number in range(behind)]
    made = [*(f"after {name}" for name in names[:-1]), "y"]
    weights = numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weights"], ["features"], name="features"),
            helper.make_node("Softmax", ["features"], ["shares"], name="shares", axis=1),
            *(
                helper.make_node("Conv", [reads, "weights"], [makes], name=name)
                for reads, makes, name in zip(["shares", *made[:-1]], made, names, strict=True)
            ),
        ],
        "dfl",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [weights],
    )
    regions = find_regions(Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])))
    assert regions.weighted == (("features", *names) if is_attention else ("features",))
    assert (regions.head, regions.carriers) == (regions.weighted[-1:], ())


def test_a_network_of_an_old_opset_is_brought_to_a_new_one(tmp_path):
    bundle = write_convolving_bundle(tmp_path / "float")
    old = onnx.load_model_from_string(bundle.onnx_bytes)
    old.opset_import[0].version = 11  # none of its operators changed but Slice's types
    old.ir_version = 6
    (tmp_path / "float/model.onnx").write_bytes(old.SerializeToString())
    bundle = write_bundle(tmp_path / "float", {**contract_of(bundle), "opset": 11})
    prepared = prepare(bundle)
    assert prepared.graph.model.opset_import[0].version == 17
    frames = frame_with_square(16)[None, None]
    before, after = (
        open_session(model).run(None, {bundle.input.name: frames})[0] for model in (old, prepared.graph.model)
    )
    assert np.abs(after - before).max() < 1e-4


def test_float16_weights_are_refused(tmp_path):
    bundle = write_convolving_bundle(tmp_path / "float")
    model = onnx.load_model_from_string(bundle.onnx_bytes)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float16), "half"))
    (tmp_path / "float/model.onnx").write_bytes(model.SerializeToString())
    bundle = write_bundle(tmp_path / "float", contract_of(bundle))
    with pytest.raises(ModelError, match="float16 weights; export and import it as float32"):
        prepare(bundle)


_HASH_OF_PREPARED = """
import hashlib, sys
from pathlib import Path
from appliance.modelling import load_bundle
from appliance.modelling.quantise.preparation import prepare
print(hashlib.sha256(prepare(load_bundle(Path(sys.argv[1]))).graph.model.SerializeToString(deterministic=True)).hexdigest())
"""


def test_the_same_network_comes_out_in_every_process():
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _HASH_OF_PREPARED, str(SHIPPED)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    hashes = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    assert hashes[0] == hashes[1]
    assert len(hashes[0].strip()) == 64
