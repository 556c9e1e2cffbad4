"""Every deliberate error is one line and a named exit code."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode

ROOT = Path(__file__).parents[3]
DEMO = str(ROOT / "examples/demo-real.toml")


@dataclass(frozen=True)
class Case:
    name: str
    arguments: tuple[str, ...]
    code: ExitCode
    says: str


CASES = (
    Case("missing file", ("run", "--config", "nowhere.toml"), ExitCode.CONFIG, "nowhere.toml: no such file"),
    Case("unknown camera", ("stage", "grab", "cam9", "--config", DEMO), ExitCode.CONFIG, "cam9"),
    Case("features of a folder", ("camera", "features", "cam1", "--config", str(ROOT / "examples/full.toml")),
         ExitCode.CONFIG, "replays a folder"),
    Case("fault of a folder", ("camera", "fault", "cam1", "black", "--config", str(ROOT / "examples/full.toml")),
         ExitCode.CONFIG, "not simulated"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_deliberate_error_is_one_line_and_a_named_exit_code(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(case.arguments)
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == case.code
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert case.says in lines[0]


def test_unknown_key_is_named_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('sttion = "x"\n' + Path(DEMO).read_text())
    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", str(wrong)])
    assert ended.value.code == ExitCode.CONFIG
    assert "sttion" in capsys.readouterr().err


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "appliance", "run", "--config", "nowhere.toml", "--debug"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in said.stderr


def test_wrong_command_line_is_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--frames", "none"])
    assert ended.value.code == ExitCode.USAGE
