"""The commands as people and scripts use them, over the demo's camera, model and images."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import load
from appliance.errors import ExitCode
from appliance.testing.patience import PATIENCE_S, patient_recipe, wait_for
from appliance.testing.ports import free_port

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "appliance")


def demo_in(tmp_path: Path) -> Path:
    """The demo in directories and on a port of its own."""
    text = (ROOT / "examples/demo-real.toml").read_text()
    patient_recipe(tmp_path / "recipe.toml", 2000)
    text = text.replace('"recipes/deeppcb.toml"', f'"{tmp_path}/recipe.toml"')
    text = text.replace('"../models"', f'"{ROOT}/models"')
    text = text.replace('images = "deeppcb"', f'images = "{ROOT}/examples/deeppcb"')
    text = text.replace('state_dir = "../build/demo-real"', f'state_dir = "{tmp_path}/state"')
    own = f'runtime_dir = "{tmp_path}/run"\n'
    path = tmp_path / "appliance.toml"
    lanes = f"""
[delivery]
verdict_endpoint = "tcp://127.0.0.1:{free_port()}"
control_endpoint = "ipc://{tmp_path}/control"
[recorder]
result_endpoint = "ipc://{tmp_path}/results"
replay_endpoint = "ipc://{tmp_path}/replay"
"""
    path.write_text(own + text + lanes)
    return path


def run(*arguments: str, timeout_s: float = 4 * PATIENCE_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return demo_in(tmp_path)


class Run:
    """`run --json` until it is told to end; a thread takes in what it prints, for a full pipe would stop it."""

    def __init__(self, folder: Path) -> None:
        self.config = demo_in(folder)
        self.said: list[str] = []
        self.process = start("run", "--config", str(self.config), "--json")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said += iter(self.process.stdout.readline, "")

    def end(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self._reader.join(PATIENCE_S)
        return self.process.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        self._reader.join()
        with self.process:
            pass


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One for all tests that leave it running; the last one ends it."""
    run = Run(tmp_path_factory.mktemp("running"))
    try:
        wait_for(lambda: run.said, 2 * PATIENCE_S, what="a verdict")
        yield run
    finally:
        run.close()


def test_ordered_fault_becomes_an_unknown_verdict(running: Run) -> None:
    said = run("camera", "fault", "cam0", "black", "--count", "3", "--config", str(running.config))
    assert said.returncode == ExitCode.OK, said.stderr
    wait_for(lambda: any(json.loads(line)["reason"] == "image_invalid" for line in list(running.said)))


def test_status_tells_of_a_run(running: Run) -> None:
    config = running.config
    deadline = time.monotonic() + PATIENCE_S
    while True:
        document = json.loads(run("status", "--config", str(config), "--json").stdout)
        is_known = document["cameras"]["cam0"]["copies_per_frame"] is not None
        if is_known and all(process["up"] for process in document["processes"].values()):
            break
        assert time.monotonic() < deadline, document
    assert document["invariant_holds"] is True
    told = run("status", "--config", str(config)).stdout
    assert "verdict lane" in told
    assert "result lane ipc://" in told
    assert "images stored" in told
    assert document["recorder"]["disk"]["level"] == "fine"


def test_sigterm_ends_a_run_and_leaves_a_watcher_that_says_so_and_no_socket_and_no_process(running: Run) -> None:
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    with start("watch", "--config", str(running.config), "--json") as watcher:
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        assert json.loads(watcher.stdout.readline())["line"] == "demo-real"
        assert running.end() == ExitCode.OK
        said = ""
        while "publisher is silent" not in said:
            said = watcher.stderr.readline()
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(timeout=PATIENCE_S) == ExitCode.OK
    runtime_dir = running.config.parent / "run"
    assert [path.name for path in runtime_dir.iterdir() if path.is_socket() or path.name.startswith("status")] == []
    assert len(children) >= 3
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    verdicts = [json.loads(line) for line in running.said]  # one a line and nothing else
    assert [verdict["verdict_seq"] for verdict in verdicts] == sorted(verdict["verdict_seq"] for verdict in verdicts)
    assert all(verdict["schema_version"] == 1 for verdict in verdicts)


def test_run_without_a_terminal_prints_lines_and_a_summary(config: Path) -> None:
    said = run("run", "--config", str(config), "--frames", "15")
    assert said.returncode == ExitCode.OK, said.stderr
    assert "Summary of this run" in said.stdout
    assert "every trigger has one verdict: yes" in said.stdout
    triggers, results = (int(re.search(text, said.stdout)[1]) for text in (r"(\d+) triggers", r"on disk: (\d+)"))
    assert results >= triggers  # a finding that came too late has a row of its own
    assert "truth" in said.stdout
    assert "false rejects" in said.stdout


def test_status_of_nothing_is_a_named_error(config: Path) -> None:
    said = run("status", "--config", str(config))
    assert said.returncode == ExitCode.NOT_RUNNING
    assert said.stderr.startswith("error: no appliance runs")


def test_busy_endpoint_ends_the_run_with_one_line_and_its_exit_code(config: Path) -> None:
    port = int(load(config).delivery.verdict_endpoint.rpartition(":")[2])
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        said = run("run", "--config", str(config), "--duration", "60")
    assert said.returncode == ExitCode.PUBLISH
    assert [line for line in said.stderr.splitlines() if line.startswith("error: ")] == [
        said.stderr.strip().splitlines()[-1]
    ]
    assert str(port) in said.stderr


def test_missing_camera_ends_the_run_with_its_exit_code(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace(f'images = "{ROOT}/examples/deeppcb"', f'images = "{tmp_path}"'))
    said = run("run", "--config", str(config), "--duration", "60")
    assert said.returncode in {ExitCode.SOURCE, ExitCode.CONFIG}
    assert said.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said.stderr


def test_cameras_and_features_are_listed(config: Path) -> None:
    listed = json.loads(run("camera", "list", "--json", "--config", str(config)).stdout)
    assert [(camera["name"], camera["state"]) for camera in listed] == [("cam0", "free")]
    features = json.loads(run("camera", "features", "cam0", "--json", "--config", str(config)).stdout)
    assert {"ExposureTime", "TriggerMode", "PixelFormat"} <= {feature["name"] for feature in features}


def test_doctor_finds_the_demo_ready(config: Path) -> None:
    said = run("doctor", "--config", str(config), "--json")
    results = json.loads(said.stdout)
    assert [result for result in results if result["outcome"] == "fail"] == []
    assert said.returncode == ExitCode.OK
    assert {"genicam", "recipe and model", "camera cam0", "verdict endpoint"} <= {result["name"] for result in results}


def test_terminal_gets_a_live_picture_and_the_summary(config: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [*COMMAND, "run", "--config", str(config), "--duration", "3"]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        seen = b""
        while process.poll() is None or select.select([ours], [], [], 0.2)[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    text = seen.decode("utf-8", "replace")
    assert process.returncode == ExitCode.OK
    assert "Ctrl-C stops" in text
    assert "grab-cam0" in text
    assert "Summary of this run" in text
