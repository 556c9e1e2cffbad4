import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from appliance.errors import ModelContractMismatch, ModelError
from appliance.limited import Limits
from appliance.modelling import load_bundle
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.gate.golden import check_golden
from appliance.modelling.gate.limits import GateLimits
from appliance.modelling.gate.report import STEPS, Step
from appliance.modelling.gate.trial import trial_blobs, trial_request, try_model
from appliance.modelling.gate.verify import verify
from appliance.modelling.signature import SignaturePolicy
from appliance.testing.tiny_detector import write_tiny_bundle

SHIPPED = Path(__file__).parents[2] / "models" / "deeppcb-nano"
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "tabs")
    return tmp_path / "tabs"


def rewrite(folder: Path) -> None:
    """Hash the files of a bundle anew, as somebody would who means it."""
    contract = tomllib.loads((folder / "model.toml").read_text())
    del contract["files"]
    write_bundle(folder, contract | {"created_at": contract["created_at"].isoformat()})


def add_golden(folder: Path, *detections: tuple[str, float, tuple[float, float, float, float]]) -> None:
    """Add an image with one cell of grey 204 at (16, 32), which scores 0.8, and what is promised of it."""
    image = np.full((48, 64), 51, np.uint8)
    image[32:48, 16:32] = 204
    (folder / "golden").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "golden" / "a.png"), image)
    promised = [{"class_name": name, "score": score, "box_px": box} for name, score, box in detections]
    case = {"file": "golden/a.png", "verdict": "NG", "detections": promised}
    (folder / "golden" / "expected.json").write_text(json.dumps({"cases": [case]}))
    rewrite(folder)


def test_shipped_model_passes_every_step_by_the_bytes_that_were_hashed(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "copy")
    bundle = load_bundle(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    told: list[Step] = []
    passed = verify(bundle, max_batch=2, report=told.append)
    assert (passed.sha256, passed.contract_sha256) == (bundle.sha256, bundle.contract_sha256)
    assert tuple(step.name for step in passed.steps) == STEPS
    assert told == list(passed.steps)
    details = {step.name: step.detail for step in passed.steps}
    cases = json.loads((SHIPPED / "golden/expected.json").read_text())["cases"]
    promised = sum(len(case["detections"]) for case in cases)
    assert promised > 5
    assert f"{promised} detections found again" in details["golden"]
    assert details["warm-up"].startswith("batch 1: ")
    assert set(passed.rights) == {"network", "files", "memory"}
    assert passed.to_json()["ms"] == passed.ms > 0


CELL = (16, 32, 32, 48)


@pytest.mark.parametrize(
    ("promised", "words"),
    [
        ([("bright", 0.8, CELL)], "1 images, 1 detections found again"),
        ([("bright", 0.8009, (16.03, 32, 32, 48))], "1 images, 1 detections found again"),
        ([("bright", 0.802, CELL)], r"expected bright 0\.8020 at .* nearest found is bright 0\.8000 with IoU 1\.000"),
        ([("bright", 0.8, (16.2, 32, 32, 48))], r"with IoU 0\.98"),
        ([("dark", 0.8, CELL)], "expected dark"),
        ([("bright", 0.8, CELL), ("bright", 0.8, CELL)], "expected bright"),
        ([], r"found bright 0\.8000 at \(16\.0, 32\.0, 32\.0, 48\.0\), which golden/expected\.json doesn't have"),
    ],
)
def test_golden_images_must_come_out_as_promised(folder: Path, promised: list[object], words: str) -> None:
    add_golden(folder, *promised)  # type: ignore[arg-type]
    detector = Detector(load_bundle(folder))
    if "found again" in words:
        with_match = check_golden(detector)
        assert words in with_match
    else:
        with pytest.raises(ModelError, match=words):
            check_golden(detector)


@pytest.mark.parametrize("threshold", [0.7995, 0.8, 0.8005])
@pytest.mark.parametrize("is_promised", [False, True])
def test_score_on_the_threshold_may_fall_either_way(folder: Path, threshold: float, is_promised: bool) -> None:
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace("score = 0.5", f"score = {threshold}"))
    add_golden(folder, *([("bright", 0.8005, CELL)] if is_promised else []))
    check_golden(Detector(load_bundle(folder)))


def network(*nodes: onnx.NodeProto, **constants: object) -> onnx.ModelProto:
    """Make a network with the inputs and outputs of the tiny one."""
    named = [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, 48, 64])]
    outputs = [helper.make_tensor_value_info("candidates", FLOAT, ["N", 6, 12])]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, named)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def pooled(last: str, *more: onnx.NodeProto, **constants: object) -> onnx.ModelProto:
    """Begin with the mean of all pixels as `mean` (N, 1, 1, 1), end by spreading `last` over the output."""
    return network(
        helper.make_node("Cast", ["images"], ["grey"], to=FLOAT),
        helper.make_node("GlobalAveragePool", ["grey"], ["mean"]),
        *more,
        helper.make_node("Reshape", [last, "row"], ["flat"]),
        helper.make_node("Expand", ["flat", "shape"], ["candidates"]),
        row=np.array([-1, 1, 1]),
        shape=np.array([1, 6, 12]),
        **constants,
    )


def memory_at_run_time() -> onnx.ModelProto:
    """Make a tensor as large as the pixels say: no shape tells before it runs."""
    return pooled(
        "sum",
        helper.make_node("Mul", ["mean", "many"], ["wanted"]),
        helper.make_node("Cast", ["wanted"], ["count"], to=INT64),
        helper.make_node("Reshape", ["count", "one"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["mean", "nothing"], ["sum"]),
        many=np.float32(1e9),
        one=np.array([1]),
    )


def endless_loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c2"]),
            helper.make_node("Cos", ["v"], ["v2"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("c", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, ["N", 1, 1, 1]),
        ],
        [
            helper.make_tensor_value_info("c2", BOOL, []),
            helper.make_tensor_value_info("v2", FLOAT, ["N", 1, 1, 1]),
        ],
    )
    loop = helper.make_node("Loop", ["", "go", "mean"], ["last"], body=body)
    return pooled("last", loop, go=np.array(True))


def not_a_number() -> onnx.ModelProto:
    nodes = [helper.make_node("Neg", ["mean"], ["minus"]), helper.make_node("Sqrt", ["minus"], ["root"])]
    return pooled("root", *nodes)


def other_outputs() -> onnx.ModelProto:
    made = pooled("mean")
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7
    return made


def external_data() -> onnx.ModelProto:
    made = pooled("sum", helper.make_node("Add", ["mean", "w"], ["sum"]))
    weights = TensorProto(name="w", data_type=FLOAT, dims=[1, 1, 1, 1], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="weights.bin")
    made.graph.initializer.append(weights)
    return made


def four_tib() -> onnx.ModelProto:
    zeros = helper.make_node("ConstantOfShape", ["size"], ["zeros"], name="bomb")
    total = helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0)
    return pooled("sum", zeros, total, size=np.array([1 << 20, 1 << 20]))


@dataclass(frozen=True)
class Hostile:
    name: str
    make: Callable[[], onnx.ModelProto | bytes]
    words: str
    child: Limits = Limits(memory_mb=512)
    error: type[ModelError] = ModelError


IN_A_CHILD = [
    Hostile("memory at run time", memory_at_run_time, "session run of 1 frames failed: .*limited to 512 MiB"),
    Hostile("endless loop", endless_loop, r"step '[\w-]+', took more than 1 s of CPU time", Limits(cpu_s=1)),
    Hostile(
        "external data through a hard link", external_data, r"initializer 'w' lies in another file, 'weights\.bin'"
    ),
]
REFUSED_BEFORE_IT_HURTS = [
    Hostile("4 TiB of zeros", four_tib, r"node bomb \(ConstantOfShape\) makes a tensor"),
    Hostile("NaN", not_a_number, "output 'candidates' holds NaN or infinite values"),
    Hostile("other outputs", other_outputs, "expected outputs 'candidates'", error=ModelContractMismatch),
    Hostile("empty file", lambda: b"", r"is no ONNX file, or an empty one \(0 bytes\)"),
]


def put_in(folder: Path, case: Hostile) -> None:
    made = case.make()
    (folder / "model.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    (folder.parent / "secret").write_bytes(bytes(64))
    (folder / "weights.bin").hardlink_to(folder.parent / "secret")  # as one of them would like it
    rewrite(folder)


@pytest.mark.parametrize("case", IN_A_CHILD, ids=lambda case: case.name)
def test_hostile_model_ends_in_one_line(folder: Path, case: Hostile) -> None:
    put_in(folder, case)
    with pytest.raises(case.error, match=case.words) as refused:
        verify(folder, limits=GateLimits(child=case.child), threads=1)
    assert str(refused.value).startswith("model tabs: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("case", REFUSED_BEFORE_IT_HURTS, ids=lambda case: case.name)
def test_hostile_model_is_refused_by_the_steps_themselves(folder: Path, case: Hostile) -> None:
    put_in(folder, case)
    bundle = load_bundle(folder)
    options = {"provider": "CPUExecutionProvider", "threads": 1, "max_batch": 1}
    request, blobs = trial_request(bundle, options, GateLimits().graph), map(memoryview, trial_blobs(bundle))
    with pytest.raises(case.error, match=case.words):
        try_model(request, list(blobs), lambda _: None)


def test_nothing_runs_where_the_signature_is_missing(folder: Path) -> None:
    told: list[Step] = []
    with pytest.raises(ModelError, match="not signed"):
        verify(folder, policy=SignaturePolicy(is_required=True), report=told.append)
    assert [step.name for step in told] == ["hash"]
