"""The operator's commands against a real publisher process."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from appliance.cli.app import command_tree
from appliance.errors import ExitCode
from appliance.testing.line_stand import LineStand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStand]:
    with LineStand(tmp_path_factory.mktemp("cli")) as stand:
        stand.connect()
        yield stand


def run(stand: LineStand, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_tree(words[0]), [*words, "--config", str(stand.config_path)])
    return result.exit_code, result.stdout


def test_the_state_is_told_in_plain_words_and_as_json(stand: LineStand) -> None:
    code, text = run(stand, "line", "state")
    assert code == 0
    assert text.startswith("ready\nrecipe a version 1")
    code, text = run(stand, "line", "state", "--json")
    assert json.loads(text)["ready"] is True


def test_parts_are_announced_and_contradictions_end_with_an_exit_code(stand: LineStand) -> None:
    assert run(stand, "part", "set", "P1", "--at", "trigger:cam0:90", "--lot", "L") == (0, "ok\n")
    code, text = run(stand, "part", "set", "P2", "--at", "trigger:cam0:90")
    assert code == ExitCode.CHECK_FAILED
    assert text.startswith("conflict: trigger 90 of cam0 has part P1")
    code, text = run(stand, "recipe", "select", "zz", "--at", "trigger:cam0:90", "--json")
    assert (code, json.loads(text)["status"]) == (ExitCode.CHECK_FAILED, "unknown")


def test_counts_are_brought_together_and_a_stop_is_released(stand: LineStand) -> None:
    assert run(stand, "line", "resync", "500") == (0, "ok\n")
    assert run(stand, "part", "set", "P3", "--at", "count:501") == (0, "ok\n")
    code, text = run(stand, "line", "release")
    assert code == 0
    assert text.startswith("duplicate: no stop was requested")


@pytest.mark.parametrize("at", ["next", "count:x", "trigger:cam0", "trigger:../x:1", "count:-1"])
def test_a_trigger_that_is_no_trigger_is_a_usage_error(stand: LineStand, at: str) -> None:
    assert run(stand, "part", "set", "P", "--at", at)[0] == ExitCode.USAGE
