"""A real training, as short as one can be: needs the training environment (`make train-env`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.learning.training_run.environment import ENVIRONMENTS
from appliance.modelling import load_bundle

PYTHON = ENVIRONMENTS["appliance"].python

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not os.access(PYTHON, os.X_OK), reason="no training environment: make train-env"),
]


def appliance(*words: str, cwd: Path) -> str:
    command = [sys.executable, "-c", "from appliance.cli import main; main()", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("network", ["nano", "yolov3-tiny"])
def test_two_epochs_on_a_few_rendered_tabs_end_with_two_bundles(tmp_path: Path, network: str) -> None:
    render = ("dataset", "render-tabs", "--out", "tabs", "--parts", "24", "--size", "160x128", "--split", "1,0,0")
    appliance(*render, "--defect-share", "0.8", cwd=tmp_path)
    order = ("train", "tabs", "--name", "tiny", "--network", network, "--epochs", "2", "--val-share", "0.3")
    told = appliance(*order, "--json", cwd=tmp_path)
    document = json.loads(told)
    assert [row["epoch"] for row in document["curve"]] == [1, 2]
    assert load_bundle(tmp_path / "models/tiny").family == {"nano": "yolov8", "yolov3-tiny": "yolov3"}[network]
