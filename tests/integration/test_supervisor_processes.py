"""The supervisor with real processes that speak the notify protocol, and get killed, hang or fail."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.box import child as child_module
from appliance.box.child import Child
from appliance.box.process_table import ProcessSpec
from appliance.box.supervisor import MAX_FAILED_STARTS, Supervisor
from appliance.errors import ExitCode, StageFailed
from appliance.testing.patience import PATIENCE_S

STAGE = """
import os, signal, socket, sys, time
behaviour, log = sys.argv[1:3]
def note(word):
    with open(log, "a") as file:
        file.write(f"{word} {time.monotonic()}\\n")
if behaviour.startswith("exit"):
    print("error: the model is broken", file=sys.stderr)
    sys.exit(int(behaviour[4:]))
stopping = []
signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: stopping.append(1))
notifier = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def notify(word):
    notifier.sendto(word.encode(), os.environ["NOTIFY_SOCKET"])
notify("READY=1")
note("ready")
print("hello", flush=True)
while not stopping:
    time.sleep(0.02)
    if behaviour != "hang":
        notify("WATCHDOG=1")
note("stopped")
"""


class Desk:
    """A runtime directory with one supervisor of scripted processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[tuple[str, str]] = []
        self.supervisor: Supervisor | None = None

    def log(self, name: str) -> list[tuple[str, float]]:
        path = self.folder / f"{name}.log"
        rows = [row.split() for row in path.read_text().splitlines()] if path.exists() else []
        return [(word, float(at)) for word, at in rows]

    def start(self, **behaviours: str) -> Supervisor:
        ranks = {"grab": 0, "inspect": 1, "publish": 2}
        table = [
            ProcessSpec(
                name,
                (sys.executable, "-c", STAGE, behaviour, str(self.folder / f"{name}.log")),
                stop_rank=ranks[name],
                watchdog_s=0.5 if behaviour == "hang" else PATIENCE_S,
            )
            for name, behaviour in behaviours.items()
        ]
        self.supervisor = Supervisor(
            table,
            self.folder / "run",
            config_path=self.folder / "appliance.toml",
            environment=os.environ,
            show=lambda name, line: self.lines.append((name, line)),
        )
        self.supervisor.start()
        return self.supervisor

    def step_until(self, condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        assert self.supervisor is not None
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            self.supervisor.step()
            time.sleep(0.005)

    def child(self, name: str) -> Child:
        assert self.supervisor is not None
        return next(child for child in self.supervisor.children if child.spec.name == name)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    if desk.supervisor is not None:
        desk.supervisor.close()


def test_all_processes_come_up_and_stop_cameras_first_publisher_last(desk: Desk) -> None:
    supervisor = desk.start(publish="steady", inspect="steady", grab="steady")
    desk.step_until(lambda: supervisor.is_up)
    supervisor.begin_stop()
    desk.step_until(lambda: supervisor.has_ended)
    ended_at = {name: dict(desk.log(name))["stopped"] for name in ("grab", "inspect", "publish")}
    assert ended_at["grab"] < ended_at["inspect"] < ended_at["publish"]


def test_killed_process_is_restarted_at_once_and_the_others_go_on(desk: Desk) -> None:
    supervisor = desk.start(publish="steady", inspect="steady")
    desk.step_until(lambda: supervisor.is_up)
    victim, survivor = desk.child("inspect"), desk.child("publish")
    survivor_pid = survivor.pid
    took_s = []
    for kills in (1, 2, 3):  # the machine may have other work once
        killed_at = time.monotonic()
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        desk.step_until(lambda kills=kills: victim.restarts == kills and victim.pid is not None)  # type: ignore[misc]
        took_s.append(time.monotonic() - killed_at)
        desk.step_until(lambda: supervisor.is_up)
    assert min(took_s) < 1
    assert survivor.pid == survivor_pid


def test_hung_process_is_killed_once_and_restarted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.start(inspect="hang")
    desk.step_until(lambda: desk.child("inspect").restarts >= 1)
    assert caplog.text.count("answers no more") == 1
    desk.step_until(lambda: len(desk.log("inspect")) >= 2)


def test_deliberate_error_at_startup_ends_the_run_with_its_own_line_and_exit_code(desk: Desk) -> None:
    supervisor = desk.start(publish="steady", inspect="exit5")
    with pytest.raises(StageFailed, match="the model is broken") as caught:
        desk.step_until(lambda: supervisor.is_up)
    assert caught.value.exit_code is ExitCode.MODEL
    assert desk.lines in ([], [("publish", "hello")])


def test_process_that_keeps_crashing_at_startup_is_given_up(desk: Desk) -> None:
    desk.start(inspect="exit1")
    with pytest.raises(StageFailed, match=f"{MAX_FAILED_STARTS} times before it was ready"):
        desk.step_until(lambda: False)


def test_error_after_a_good_start_is_restarted_for_ever(desk: Desk) -> None:
    supervisor = desk.start(inspect="steady")
    desk.step_until(lambda: supervisor.is_up)
    child = desk.child("inspect")
    child.spec = ProcessSpec("inspect", (*child.spec.argv[:3], "exit5", child.spec.argv[4]), stop_rank=1)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    desk.step_until(lambda: child.restarts >= MAX_FAILED_STARTS + 1)


def test_start_that_never_gets_ready_is_killed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "START_TIMEOUT_S", 0.3)
    table = [ProcessSpec("inspect", (sys.executable, "-c", "import time; time.sleep(60)"), stop_rank=0)]
    desk.supervisor = Supervisor(
        table, desk.folder / "run", config_path=Path("x"), environment=os.environ, show=lambda _name, _line: None
    )
    desk.supervisor.start()
    desk.step_until(lambda: desk.child("inspect").failed_starts >= 1)


def test_process_that_ignores_sigterm_is_killed_and_the_last_rank_still_stops_cleanly(desk: Desk) -> None:
    supervisor = desk.start(publish="steady", grab="deaf")
    desk.step_until(lambda: supervisor.is_up)
    supervisor.close()
    desk.supervisor = None
    assert "stopped" in dict(desk.log("publish"))


def test_notifications_of_strangers_are_ignored(desk: Desk) -> None:
    supervisor = desk.start(inspect="hang")
    desk.step_until(lambda: supervisor.is_up)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        deadline = time.monotonic() + PATIENCE_S
        while desk.child("inspect").restarts == 0:
            assert time.monotonic() < deadline
            stranger.sendto(b"WATCHDOG=1", str(desk.folder / "run/notify.sock"))
            supervisor.step()
            time.sleep(0.01)


def test_second_supervisor_in_one_directory_is_refused(desk: Desk) -> None:
    desk.start(inspect="steady")
    with pytest.raises(StageFailed, match="already runs"):
        Desk(desk.folder).start(inspect="steady")


def test_nothing_is_left_behind_even_by_killed_processes(desk: Desk) -> None:
    supervisor = desk.start(inspect="steady")
    desk.step_until(lambda: supervisor.is_up)
    run = desk.folder / "run"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as abandoned:
        abandoned.bind(str(run / "frames.cam0.sock"))
    (run / "status.grab-cam0.json").write_text("{}")
    (run / "announced.cam0").write_bytes(b"truth")
    supervisor.close()
    desk.supervisor = None
    assert [path.name for path in run.iterdir()] == ["announced.cam0"]


def test_children_die_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = (
        "import os, sys, time; from appliance.stage import die_with_parent; die_with_parent();"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    status = Path(f"/proc/{pid_file.read_text()}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)
