"""`appliance schemas`."""

import json
from pathlib import Path

import pytest

from appliance.cli.app import main
from appliance.contracts.catalogue import contract_files
from appliance.errors import ExitCode


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(("schemas", *arguments))
    return ended.value.code


def test_it_prints_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == ExitCode.OK
    printed = json.loads(capsys.readouterr().out)
    assert printed == {name: json.loads(text) for name, text in contract_files().items()}
    assert {"verdict.json", "record.json", "asyncapi.json"} <= printed.keys()


def test_it_writes_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "schemas"
    assert run("--out", str(folder)) == ExitCode.OK
    assert run("--out", str(folder), "--check") == ExitCode.OK
    (folder / "record.json").write_text("{}")
    assert run("--out", str(folder), "--check") == ExitCode.CHECK_FAILED
    assert capsys.readouterr().err.strip() == f"{folder}: differ from the code: record.json"


def test_the_packaged_files_pass_the_check() -> None:
    assert run("--check") == ExitCode.OK


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run("--out", str(tmp_path / "file")) == ExitCode.CONFIG
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/file: can't be written")
