import hashlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from appliance.errors import ModelError
from appliance.modelling import load_bundle
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.quantise import (
    Budget,
    CalibrationSet,
    Figures,
    Manifest,
    Order,
    Outcome,
    quantise,
    write_quantised,
)
from appliance.modelling.quantise.preparation import prepare
from appliance.modelling.quantise.trial import contract_of
from appliance.testing.convolving_detector import BOX_PX, frame_with_square, write_convolving_bundle

SQUARES = (None, 0, 8, 16, 24, 32, 40, 48)
FRAMES = [frame_with_square(left, seed=place) for place, left in enumerate(SQUARES)]


def calibration() -> CalibrationSet:
    manifest = Manifest(
        schema_version=1,
        name="squares",
        version=1,
        source="made",
        licence="none",
        chosen="all",
        files={f"{place}.png": hashlib.sha256(frame.tobytes()).hexdigest() for place, frame in enumerate(FRAMES)},
    )
    return CalibrationSet(manifest, "0" * 64, tuple((frame, "Mono8") for frame in FRAMES))


def measure(bundle) -> Figures:
    """Count the squares that are found where they are."""
    found = Detector(bundle, max_batch=8).detect(FRAMES)
    hits = sum(
        left is not None
        and len(one) > 0
        and bool(np.abs(one.boxes_in_image[0] - [left, 16, left + BOX_PX, 32]).max() <= 4)
        for left, one in zip(SQUARES, found, strict=True)
    )
    parts = len(SQUARES) - 1
    escapes = sum(left is not None and not len(one) for left, one in zip(SQUARES, found, strict=True))
    false_rejects = sum(left is None and len(one) > 0 for left, one in zip(SQUARES, found, strict=True))
    return Figures(hits / parts, hits / parts, escapes, parts, false_rejects, 1, parts - hits, parts)


def run(bundle, *, methods=("minmax",), budget=None, reports=None) -> Outcome:
    order = Order(bundle, calibration(), measure, budget or Budget(), methods)
    return quantise(order, lambda *told: reports.append(told) if reports is not None else None)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    return run(write_convolving_bundle(tmp_path_factory.mktemp("float") / "squares"))


def test_int8_network_finds_what_the_float_one_found(outcome):
    assert outcome.holds
    assert outcome.before == outcome.best.figures
    assert outcome.before.map50 == 1.0
    assert outcome.best.in_float == ()


def test_first_convolution_reads_the_pixels_as_they_are(outcome, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(outcome.best.bundle.onnx_bytes, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    name, passed = "images", []
    while True:
        (node,) = [node for node in nodes if name in node.input]
        passed.append(node.op_type)
        if node.op_type not in ("Reshape", "Transpose"):
            break
        name = node.output[0]
    assert passed[-1] == "QLinearConv"
    assert outcome.best.reads_uint8
    kinds = [node.op_type for node in nodes]
    assert kinds.count("ConvInteger") == 1  # the head
    assert {"Conv", "QuantizeLinear"}.isdisjoint(kinds)


def test_same_input_gives_the_same_bytes(outcome, tmp_path):
    again = run(write_convolving_bundle(tmp_path / "squares"))
    assert again.best.bundle.onnx_bytes == outcome.best.bundle.onnx_bytes


def test_written_bundle_says_how_it_was_made_and_is_accepted(outcome, tmp_path):
    folder = tmp_path / "squares-int8"
    write_quantised(outcome, folder, made_by="appliance model quantize", dataset={"name": "squares"}, metrics={})
    bundle = load_bundle(folder)
    assert bundle.name == "squares-int8"
    assert bundle.source is not None
    assert bundle.source.sha256 == outcome.order.bundle.sha256
    assert bundle.quantisation is not None
    assert bundle.quantisation["calibration"]["sha256"] == "0" * 64
    assert bundle.quantisation["before"] == bundle.quantisation["after"]
    assert {row["threads"] for row in bundle.quantisation["speed"]} >= {1}
    assert [case.verdict for case in bundle.golden_cases()] == ["OK", "NG"]
    assert measure(bundle) == outcome.best.figures
    with pytest.raises(ModelError, match="is there already"):
        write_quantised(outcome, folder, made_by="x", dataset={}, metrics={})


def test_a_sensitive_node_is_found_and_left_in_float(tmp_path):
    reports: list[tuple[str, int, int]] = []
    outcome = run(write_convolving_bundle(tmp_path / "squares", hidden_weight=1000.0), reports=reports)
    assert outcome.holds
    assert outcome.best.in_float == ("head", "second")
    assert [len(trial.in_float) for trial in outcome.trials] == [0, 1, 2]
    assert ("sensitivity of each node", 4, 4) in reports


def test_without_a_network_within_budget_there_is_a_refusal_with_the_nearest(tmp_path):
    outcome = run(
        write_convolving_bundle(tmp_path / "squares", hidden_bias=10000.0), budget=Budget(0.5, max_extra_escapes=0)
    )
    assert not outcome.holds
    assert outcome.speeds == ()
    assert "no INT8 network within the budget of 0.5 mAP points and 0 more escapes" in outcome.refusal()
    assert "mAP@0.5 1.0000 to 0.0000" in outcome.refusal()


def test_seven_bit_weights_leave_room_for_sums_of_16_bits(tmp_path):
    bundle = write_convolving_bundle(tmp_path / "squares")
    order = Order(bundle, calibration(), measure, Budget(), ("minmax",), has_seven_bit_weights=True)
    found = quantise(order, lambda *told: None)
    assert found.holds
    weights = {
        tensor.name: numpy_helper.to_array(tensor).astype(int)
        for tensor in onnx.load_model_from_string(found.best.bundle.onnx_bytes).graph.initializer
    }
    for name in ("stem", "second", "third"):
        assert 60 <= np.abs(weights[f"{name}_weights_quantized"]).max() <= 64
    assert np.abs(weights["head_steps"] - 128).max() == 63


def test_a_quantised_model_is_refused(outcome):
    with pytest.raises(ModelError, match="is quantised already"):
        prepare(outcome.best.bundle)


def test_other_tasks_are_refused(outcome, tmp_path):
    (tmp_path / "model.onnx").write_bytes(outcome.order.bundle.onnx_bytes)
    contract = {**contract_of(outcome.order.bundle), "task": "anomaly", "family": "anomaly_map"}
    with pytest.raises(ModelError, match="knows detectors"):
        run(write_bundle(tmp_path, contract))


def test_budget_counts_points_and_escapes():
    before = Figures(0.80, 0.50, 1, 50, 2, 15, 10, 100)
    a_little_worse = Figures(0.796, 0.496, 1, 50, 2, 15, 10, 100)
    worse = Figures(0.80, 0.49, 3, 50, 2, 15, 10, 100)
    assert Budget(0.5).holds(before, a_little_worse)
    assert Budget(0.5).excess(before, worse) == (0, pytest.approx(0.5))
    assert Budget(2.0).holds(before, worse)
    assert Budget(2.0, max_extra_escapes=1).excess(before, worse) == (1, 0.0)
