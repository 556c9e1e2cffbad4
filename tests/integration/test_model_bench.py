import json
from pathlib import Path

import pytest

from appliance.box.bench.model import bench_model
from appliance.cli.app import main
from appliance.cli.model_bench import _thread_counts
from appliance.errors import ExitCode
from appliance.testing.tiny_detector import write_tiny_bundle


def test_every_combination_is_measured_as_often_as_the_others(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "tabs")
    told: list[tuple[int, int]] = []
    figures = bench_model(
        bundle, providers=["cpu"], batches=[1, 5], threads=[1, 2], rounds=3, progress=lambda *one: told.append(one)
    )
    rows = [(row["provider"], row["threads"], row["batch"]) for row in figures["rows"]]
    assert rows == [("CPUExecutionProvider", threads, batch) for threads in (1, 2) for batch in (1, 5)]
    assert all(row["frames_per_s"] > 0 and row["ms_per_frame"]["p50"] > 0 for row in figures["rows"])
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_provider_that_was_asked_for_and_is_not_here_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path / "tabs")
    with pytest.raises(SystemExit) as ended:
        main(["model", "bench", str(tmp_path / "tabs"), "--provider", "tensorrt", "--rounds", "2", "--json"])
    assert ended.value.code == ExitCode.MODEL
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"] == []
    assert "`make setup PROVIDER=cuda` installs onnxruntime-gpu" in captured.err


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (4, [1, 2, 3, 4]), (6, [1, 2, 4, 5, 6]), (8, [1, 2, 4, 7, 8])])
def test_numbers_of_threads_cover_the_machine(cores: int, counts: list[int]) -> None:
    assert _thread_counts(cores) == counts
