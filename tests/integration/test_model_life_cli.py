"""`appliance model activate`, `rollback` and `audit`, beside a running line and without one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.rollout import read_choices
from appliance.testing.model_stand import ModelStand

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for
GATE_PATIENCE_S = 180.0  # beside a running line the gate takes a tenth of its processor time


def started(stand: ModelStand, *words: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "appliance", "model", *words, "--config", str(stand.config_path), "--json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> Any:
    out, err = process.communicate(timeout=GATE_PATIENCE_S)
    assert process.returncode == 0, err
    return json.loads(out)


def test_people_change_models_on_a_running_line_and_on_one_that_stands(tmp_path: Path) -> None:
    with ModelStand(tmp_path) as stand:
        stand.parts(5)
        activating = started(stand, "activate", "two")
        stand.until(lambda: activating.poll() is not None, GATE_PATIENCE_S)
        answer = said(activating)
        assert (answer["new"]["name"], answer["was_in_use"]) == ("two", False)
        assert answer["effective_at"] is not None
        assert [step["name"] for step in answer["gate"]["steps"]][:2] == ["hash", "signature"]
        stand.parts(5)
        stand.drain()
        stand.assert_each_trigger_has_one_verdict()
        stand.assert_models_change_at_their_moments()
        assert stand.verdicts[-1]["model"]["name"] == "two"
        refused = started(stand, "activate", "three")
        assert "no such folder" in refused.communicate(timeout=GATE_PATIENCE_S)[1]
        assert refused.returncode == 5
    answer = said(started(stand, "rollback"))
    assert (answer["new"]["name"], answer["effective_at"]) == ("one", None)
    assert read_choices(stand.config.state_dir).recipes["a"].model.name == "one"
    entries = said(started(stand, "audit"))
    assert [(one["what"], one["old"]["name"], one["new"]["name"]) for one in entries] == [
        ("activated", "one", "two"),
        ("rolled_back", "two", "one"),
    ]
    assert all("pid" in one["by"] for one in entries)
