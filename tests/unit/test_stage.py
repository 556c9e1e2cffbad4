import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.stage import Stage


def test_the_status_file_is_whole_and_says_who_and_when(tmp_path: Path) -> None:
    stage = Stage("grab-cam0", tmp_path / "run")
    stage.beat(lambda: {"state": "capturing"})
    status = json.loads((tmp_path / "run/status.grab-cam0.json").read_text())
    assert (status["process"], status["pid"], status["state"]) == ("grab-cam0", os.getpid(), "capturing")
    assert time.monotonic_ns() - status["at_monotonic_ns"] < 10**10
    stage.stopped()
    assert not list((tmp_path / "run").iterdir())


def test_the_runtime_directory_is_nobody_elses(tmp_path: Path) -> None:
    Stage("publish", tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        Stage("publish", tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"runtime_dir .*file/run: Not a directory"):
        Stage("publish", tmp_path / "file/run")


def test_status_is_written_when_due_and_not_for_each_beat(tmp_path: Path) -> None:
    stage = Stage("publish", tmp_path)
    asked: list[int] = []

    def status() -> dict[str, int]:
        asked.append(1)
        return {}

    for _ in range(50):
        stage.beat(status)
    assert len(asked) == 1


def test_systemd_hears_ready_watchdog_and_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        stage = Stage("publish", tmp_path / "run")
        stage.ready()
        stage.beat(dict)
        stage.stopped()
        assert [listener.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_what_a_full_queue_refuses_is_told_again_by_the_next_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as flood,
    ):
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        stage = Stage("publish", tmp_path / "run")
        with contextlib.suppress(BlockingIOError):
            while True:
                flood.sendto(b"nonsense", address)
        stage.ready()
        stage.beat(dict)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert listener.recv(100) == b"nonsense"
        stage.beat(dict)
        stage.stopped()
        assert [listener.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_supervisor_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    stage = Stage("publish", tmp_path / "run")
    stage.ready()
    stage.stopped()


def test_a_signal_only_sets_the_flag(tmp_path: Path) -> None:
    stage = Stage("publish", tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stage.install_signal_handlers()
        assert not stage.is_stopping
        os.kill(os.getpid(), signal.SIGTERM)
        assert stage.is_stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
