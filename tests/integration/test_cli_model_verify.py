"""`appliance model verify`, `sign` and `keygen`, as people and scripts call them."""

import json
from pathlib import Path

import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.testing.tiny_detector import write_tiny_bundle

CONFIG = """
line = "line1"
station = "station1"
recipe = "recipe.toml"
models_dir = "models"
runtime_dir = "run"
[models]
require_signature = true
trusted_keys = ["release.key.pub"]
[[cameras]]
name = "cam0"
source = {kind = "folder", images = "."}
"""


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "box.toml").write_text(CONFIG)
    write_tiny_bundle(tmp_path / "models" / "tabs")
    assert call("model", "keygen", str(tmp_path / "release.key")) == ExitCode.OK
    capsys.readouterr()
    return tmp_path


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_model_passes_once_it_is_signed(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("--config", str(box / "box.toml"))
    assert call("model", "verify", "tabs", "--json", *config) == ExitCode.MODEL
    (outcome,) = json.loads(capsys.readouterr().out)
    assert (outcome["passed"], outcome["failed_step"]) == (False, "signature")
    assert call("model", "sign", "tabs", "--key", str(box / "release.key"), *config) == ExitCode.OK
    capsys.readouterr()
    assert call("model", "verify", "tabs", "--max-batch", "1", *config) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if "✓" in line] == [
        *("hash", "signature", "start", "parse", "load", "warm-up", "golden")
    ]
    assert "by trusted key" in lines[2]
    assert any(line.startswith("  network") for line in lines)


def test_changed_model_is_refused_and_the_step_is_named(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = box / "models" / "tabs" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    path.write_bytes(content)
    assert call("model", "verify", "tabs", "--config", str(box / "box.toml")) == ExitCode.MODEL
    captured = capsys.readouterr()
    assert "✗ hash" in captured.out
    assert captured.err.startswith("error: model bundle ")
    assert captured.err.count("\n") == 1


def test_key_that_others_can_read_signs_nothing(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (box / "release.key").chmod(0o640)
    words = ("model", "sign", "tabs", "--key", str(box / "release.key"), "--models-dir", str(box / "models"))
    assert call(*words) == ExitCode.KEYS
    assert "chmod 600" in capsys.readouterr().err
