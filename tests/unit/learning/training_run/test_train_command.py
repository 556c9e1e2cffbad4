"""`appliance train` from end to end, with a child that needs no PyTorch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.modelling import load_bundle
from appliance.modelling.bundle_writer import write_bundle

pytestmark = pytest.mark.timeout(600)  # gates, imports and quantisation are children that a loaded machine delays


def words(trainer: Path, *more: str) -> list[str]:
    return [
        "train",
        "squares",
        "--name",
        "squares",
        "--epochs",
        "4",
        "--python",
        str(trainer),
        "--licence",
        "ours",
        *more,
    ]


def ends(capfd: pytest.CaptureFixture[str], given: list[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(given)
    told = capfd.readouterr()
    return int(ended.value.code or 0), told.out, told.err


@pytest.fixture(autouse=True)
def _at_the_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAKE_TRAINER", raising=False)


def start_slow(trainer: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the command as a process of its own; returns it and its child's pid once two epochs are done."""
    # A suite that a shell started in the background ignores Ctrl-C, and so would everything that it starts.
    attentive = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", f"{attentive}from appliance.cli import main; main()", *words(trainer, "--json")]
    environment = {**os.environ, "FAKE_TRAINER": "slow"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    waiting = Path("build/training/squares/waiting")
    for _ in range(1200):
        if waiting.exists() and (text := waiting.read_text()):
            return process, int(text)
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the child never began")


def is_gone(pid: int) -> bool:
    for _ in range(400):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_killed_at_any_moment_the_same_command_goes_on_to_the_end(
    squares: Path, trainer: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, child = start_slow(trainer)
    os.kill(child, signal.SIGKILL)
    _, told = command.communicate(timeout=120)
    assert command.returncode == ExitCode.TRAINING
    assert "was ended by SIGKILL" in told
    Path("build/training/squares/waiting").unlink()
    command, child = start_slow(trainer)
    command.kill()
    command.communicate(timeout=120)
    assert is_gone(child)

    code, out, err = ends(capfd, words(trainer, "--json", "--no-quantize"))
    assert code == ExitCode.OK, err
    assert "going on after epoch 2" in err
    document = json.loads(out)
    assert [row["epoch"] for row in document["curve"]] == [1, 2, 3, 4]
    bundle = load_bundle(Path("models/squares"))
    assert document["sha256"] == bundle.sha256

    code, _, err = ends(capfd, words(trainer, "--no-quantize"))
    assert (code, "its model is made again" in err) == (ExitCode.OK, True)
    assert load_bundle(Path("models/squares")).sha256 == bundle.sha256
    contract = bundle.model_dump(mode="json", exclude={"files"}, exclude_none=True)
    contract["training"]["seed"] = 99  # a model of another training is replaced only when told to
    write_bundle(Path("models/squares"), contract)
    code, _, err = ends(capfd, words(trainer, "--no-quantize"))
    assert code == ExitCode.MODEL
    assert "--overwrite" in err


def test_the_end_is_a_measured_and_quantised_bundle_that_says_where_it_comes_from(
    squares: Path, trainer: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ends(capfd, words(trainer, "--json"))
    assert code == ExitCode.OK, err
    document = json.loads(out)
    bundle, int8 = load_bundle(Path("models/squares")), load_bundle(Path("models/squares-int8"))
    assert bundle.training is not None
    assert (bundle.training.licence, bundle.training.best_epoch, bundle.training.parts["train"]) == ("ours", 4, 12)
    assert [row.val_map50 for row in bundle.training.curve] == [None, 0.2, None, 0.4]
    assert {split: figures.ng_parts for split, figures in bundle.metrics.items()} == {"val": 4, "test": 2}
    assert document["metrics"]["val"]["model"]["contract_sha256"] == bundle.contract_sha256
    assert document["metrics"]["val"]["map50"] == pytest.approx(bundle.metrics["val"].map50, abs=1e-4)
    assert [case.verdict for case in bundle.golden_cases()] == ["NG", "NG", "NG", "OK"]
    assert int8.quantisation is not None
    assert int8.quantisation["calibration"]["images"] == 12
    page = Path(document["page"]).read_text()
    assert "mAP@0.5 on the validation images" in page
    assert "http" not in page.replace("http-equiv", "")


def test_ctrl_c_ends_the_child_and_says_how_to_go_on(squares: Path, trainer: Path) -> None:
    command, child = start_slow(trainer)
    command.send_signal(signal.SIGINT)
    _, told = command.communicate(timeout=60)
    assert command.returncode == ExitCode.INTERRUPTED
    assert "the same command goes on" in told
    assert is_gone(child)


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ("broken", "no such operator: frobnicate"),
        ("silent", "ended without outcome.json"),
        ("boastful", "not an outcome of a training"),
        ("torn", "trained.onnx"),
    ],
)
def test_a_child_that_fails_is_one_clear_line(
    squares: Path,
    trainer: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flaw: str,
    said: str,
) -> None:
    monkeypatch.setenv("FAKE_TRAINER", flaw)
    code, _, err = ends(capfd, words(trainer))
    assert code == (ExitCode.MODEL if flaw == "torn" else ExitCode.TRAINING)
    assert said in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")
    assert not Path("models/squares").exists()


def test_nonsense_from_the_child_goes_to_the_log_and_an_int8_over_budget_leaves_the_float_model(
    squares: Path, trainer: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAINER", "nonsense,unquantisable")
    code, out, err = ends(capfd, words(trainer))
    assert code == ExitCode.OK, err
    assert "downloading the internet" in Path("build/training/squares/training.log").read_text()
    assert "INT8       none: " in out
    assert "the float model stands" in out
    assert not Path("models/squares-int8").exists()
    assert load_bundle(Path("models/squares")).name == "squares"


def test_a_work_folder_of_another_plan_is_refused_until_told_to_begin_anew(
    squares: Path, trainer: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAINER", "silent")
    ends(capfd, words(trainer))
    code, _, err = ends(capfd, words(trainer, "--seed", "8"))
    assert code == ExitCode.TRAINING
    assert "seed 7, now 8" in err
    assert "--restart" in err
    code, _, err = ends(capfd, words(trainer, "--threads", "1"))
    assert "ended without outcome.json" in err  # threads change nothing that is learned
    (squares / "labels/train/train1.txt").write_text("0 0.5 0.5 0.25 0.33\n")
    code, _, err = ends(capfd, words(trainer))
    assert "other labels or images" in err
    code, _, err = ends(capfd, words(trainer, "--restart"))
    assert "ended without outcome.json" in err


def test_what_can_be_refused_is_refused_before_the_training(
    squares: Path, trainer: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("models/squares").mkdir(parents=True)
    code, _, err = ends(capfd, words(trainer))
    assert code == ExitCode.MODEL
    assert "--overwrite" in err
    Path("models/squares").rmdir()
    code, _, err = ends(capfd, words(Path("nowhere/python")))
    assert code == ExitCode.TOOL
    assert "`make train-env` makes it" in err
    for wrong, exit_code in (
        (["--network", "yolov99"], ExitCode.CONFIG),
        (["--size", "100x100"], ExitCode.USAGE),
        (["--device", "tpu"], ExitCode.USAGE),
        (["--calibration", "missing.toml"], ExitCode.CONFIG),
    ):
        code, _, err = ends(capfd, words(trainer, *wrong))
        assert code == exit_code, wrong
    Path("settings.toml").write_text("learning_rat = 0.1\n")
    code, _, err = ends(capfd, words(trainer, "--settings", "settings.toml"))
    assert code == ExitCode.CONFIG
    assert "learning_rat" in err
    assert not Path("build/training/squares/training.log").exists()
