"""The Node.js example against a served journal.

Needs Node.js and the packages of examples/node/package-lock.json: in examples/node/node_modules (`npm ci` there) or in
npm's cache. Without them it skips: tests fetch nothing.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.testing.patience import PATIENCE_S
from appliance.testing.result_stand import ServedStand, StandJournal

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None:
        pytest.skip("node is not installed")
    copy = tmp_path_factory.mktemp("node")
    for file in EXAMPLE.glob("*.*"):
        shutil.copy(file, copy)
    if (EXAMPLE / "node_modules" / "zeromq").is_dir():
        (copy / "node_modules").symlink_to(EXAMPLE / "node_modules")
        return copy
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "ci", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(command, cwd=copy, capture_output=True, timeout=PATIENCE_S, check=False).returncode != 0:
        pytest.skip("zeromq for Node.js is not here; run `npm ci --ignore-scripts` in examples/node once")
    return copy


@contextmanager
def following(example: Path, stand: ServedStand, file: Path) -> Iterator["subprocess.Popen[str]"]:
    command = ["node", "main.mjs", "--file", str(file), "--consumer", "node"]
    command += ["--endpoint", stand.endpoint, "--replay", stand.replay_endpoint]
    process = subprocess.Popen(command, cwd=example, text=True, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines() if file.exists() else []


def wait_for_lines(process: "subprocess.Popen[str]", file: Path, count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(lines_of(file)) < count:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end, f"only {len(lines_of(file))} of {count} lines"
        time.sleep(0.01)


def wait_for_acknowledgement(stand: ServedStand, seq: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        with stand.held() as inside:
            if inside.journal.acknowledged.get("node") == seq:
                return
        assert time.monotonic() < end
        time.sleep(0.01)


def bodies_of(stand: ServedStand) -> list[bytes]:
    with stand.held() as inside:
        return list(inside.journal.bodies.values())


def test_each_result_is_stored_once_through_losses_and_kills(example: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with ServedStand() as stand:
        stand.publish(700, is_lost=True)
        for wanted in (350, 720):
            with following(example, stand, file) as process:
                wait_for_lines(process, file, wanted - 20)
                stand.publish(5)
                stand.publish(10, is_lost=True)
                stand.publish(5)
                wait_for_lines(process, file, wanted)
        file.write_bytes(file.read_bytes()[:-5])  # as a power cut may leave it
        with following(example, stand, file) as process:
            wait_for_lines(process, file, 740)
            wait_for_acknowledgement(stand, 740)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        assert lines_of(file) == bodies_of(stand), "byte for byte: also numbers beyond 2^53, which JavaScript rounds"


def test_removed_ranges_and_a_new_journal_are_told(example: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"epoch":"e1","seq":3}\n')
    with ServedStand() as stand:
        stand.publish(8)
        with stand.held() as inside:
            inside.journal.drop_before(6)
        with following(example, stand, file) as process:
            wait_for_lines(process, file, 5)
            with stand.held() as inside:
                inside.journal = StandJournal(epoch="e2")
            stand.publish(2)
            wait_for_lines(process, file, 8)
    found = [json.loads(line) for line in lines_of(file)]
    assert found[1] == {"epoch": "e1", "seq": 5, "firstSeq": 4, "kind": "lost"}
    assert [(each["epoch"], each["seq"]) for each in found[2:]] == [
        ("e1", 6), ("e1", 7), ("e1", 8), ("e2", 0), ("e2", 1), ("e2", 2)
    ]  # fmt: skip
    assert found[5]["previous"] == {"epoch": "e1", "seq": 8}


def test_the_lock_file_names_no_download_addresses() -> None:
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    assert "resolved" not in json.dumps(lock)
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
