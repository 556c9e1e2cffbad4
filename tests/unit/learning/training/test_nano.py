"""The networks of the `nano` family, and their export. Needs torch, which only the training environment has."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch lives in the training environment (.venv-train)")

from appliance.errors import ModelError  # noqa: E402
from appliance.learning.training.export import export  # noqa: E402
from appliance.learning.training.networks import NETWORKS  # noqa: E402
from appliance.learning.training.networks.nano import ExportedDetector  # noqa: E402
from appliance.learning.training.plan import Plan  # noqa: E402
from appliance.modelling.importer.examination import examine  # noqa: E402
from appliance.modelling.importer.facts import ImportOptions  # noqa: E402
from appliance.modelling.importer.recognition import recognise  # noqa: E402

WIDTH, HEIGHT = 96, 64
CLASS_NAMES = ("burr", "crack")
CANDIDATES = {"nano": 12 * 8 + 6 * 4, "small": 12 * 8 + 6 * 4, "fine": 24 * 16 + 12 * 8 + 6 * 4}


def plan(name):
    return Plan("set", CLASS_NAMES, WIDTH, HEIGHT, "work", network=name)


def network(name="nano"):
    torch.manual_seed(1)
    return NETWORKS[name](plan(name)).eval()


def pictures(count=2):
    return list(np.random.default_rng(1).integers(0, 256, (count, HEIGHT, WIDTH), dtype=np.uint8))


@pytest.mark.parametrize("name", CANDIDATES)
def test_there_is_a_candidate_for_every_cell_of_every_level(name):
    rows = network(name).exported().eval()(torch.from_numpy(np.stack(pictures())[:, None]))
    assert tuple(rows.shape) == (2, 4 + len(CLASS_NAMES), CANDIDATES[name])


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_step_down_the_gradient_reaches_every_weight(name):
    learner = network(name).train()
    images = torch.from_numpy(np.stack(pictures())[:, None]).float() / 255
    truth = [(torch.tensor([[8.0, 8.0, 14.0, 13.0], [20.0, 10.0, 60.0, 50.0]]), torch.tensor([0, 1]))] * 2
    learner.loss(images, truth).backward()
    assert [key for key, weight in learner.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_importer_reads_the_exported_file_as_yolov8(tmp_path: Path, name: str) -> None:
    export(network(name), plan(name), tmp_path / "trained.onnx", pictures())
    options = ImportOptions(family="yolov8", classes=CLASS_NAMES, pixel_format="Mono8", fit="letterbox")
    facts = examine((tmp_path / "trained.onnx").read_bytes(), options, "trained.onnx")
    assert recognise(facts, "trained.onnx").claim.family == "yolov8"


class Restless(ExportedDetector):
    """Adds noise, anew at every run."""

    def forward(self, images):
        rows = super().forward(images)
        return rows + torch.rand_like(rows)


def test_a_file_that_computes_something_else_than_pytorch_is_refused(tmp_path: Path) -> None:
    learned = network()
    learned.exported = lambda: Restless(learned)
    expected = re.escape("expected boxes within 0.05 px and scores within 0.001 of PyTorch's, got ")
    with pytest.raises(ModelError, match=expected):
        export(learned, plan("nano"), tmp_path / "trained.onnx", pictures())
