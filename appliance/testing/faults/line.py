"""A whole appliance at a fast line, made to be hurt: its disk, its clock and its processes are in the test's hands."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.box.process_table import process_table
from appliance.box.supervisor import Supervisor
from appliance.capture.simcam.control import SimcamControl
from appliance.capture.simulator import simulator_dir, state_path
from appliance.config import load
from appliance.testing.faults.disks import Filler
from appliance.testing.faults.evidence import Episode, PulseTrain
from appliance.testing.faults.mes import Mes
from appliance.testing.faults.preload import FaultSwitch
from appliance.testing.faults.replayer import Replayer, read_rows
from appliance.testing.faults.witness import Heard, Witness
from appliance.testing.faults.world import World, make_world
from appliance.testing.patience import PATIENCE_S
from appliance.wire.replay_client import ReplayClient

_STEP_S = 0.005
_SERIAL = "SIM-0001"

_CONFIG = """
line = "faults"
station = "desk"
recipe = "{world.recipe}"
models_dir = "{world.models_dir}"
runtime_dir = "{folder}/run"
state_dir = "{state_dir}"

[inspector]
intra_op_num_threads = 1

[delivery]
verdict_endpoint = "ipc://{folder}/verdict"
control_endpoint = "ipc://{folder}/control"
send_margin_ms = {send_margin_ms}

[recorder]
result_endpoint = "ipc://{folder}/result"
replay_endpoint = "ipc://{folder}/replay"
required_consumers = ["mes"]
warn_free_mb = 12
evict_free_mb = 8
stop_free_mb = 4

[drift]
enabled = false

[[cameras]]
name = "cam0"

[cameras.source]
kind = "genicam"
serial = "{serial}"

[cameras.source.simulator]
images = "{world.images}"
line_hz = {line_hz}

[cameras.source.features]
TriggerSelector = "FrameStart"
TriggerMode = "On"
TriggerSource = "Line0"
"""


class FaultedLine:
    """Starts the appliance and its listeners, and drives them from one thread; a context manager.

    Args:
        folder: For sockets, the runtime directory and what passes the camera.
        state_dir: On the disk that faults are done to.
        filler: Of that disk; None: it is not ours to fill.
        send_margin_ms: Must cover what a busy machine keeps a process waiting, or verdicts come late.
    """

    def __init__(
        self,
        folder: Path,
        state_dir: Path,
        *,
        filler: Filler | None = None,
        line_hz: float = 25.0,
        deadline_ms: float = 300,
        send_margin_ms: float = 25,
    ) -> None:
        self.filler = filler
        self.world: World = make_world(folder / "world", deadline_ms=deadline_ms)
        self.switch = FaultSwitch(folder)
        self.state_dir = state_dir
        self.said: list[str] = []
        config_path = folder / "appliance.toml"
        config_path.write_text(
            _CONFIG.format(
                world=self.world,
                folder=folder,
                state_dir=state_dir,
                serial=_SERIAL,
                line_hz=line_hz,
                send_margin_ms=send_margin_ms,
            )
        )
        self.config = load(config_path)
        self.config_path = config_path
        self.names = tuple(spec.name for spec in process_table(self.config, config_path, os.getpid()) if spec.is_needed)
        self._power = ExitStack()
        self._resources = ExitStack()
        self._folder = folder

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            resources.callback(self.switch.close)
            endpoint = self.config.delivery.verdict_endpoint
            self.witness = resources.enter_context(Witness(endpoint, self._folder / "witness.log"))
            self.mes = resources.enter_context(Mes(self.config, self._folder / "mes.db"))
            self.replayer = resources.enter_context(
                Replayer(self.config.recorder.replay_endpoint, self._folder / "replayer.log")
            )
            self.frozen = resources.enter_context(Witness(endpoint, self._folder / "frozen.log"))
            self.slow = resources.enter_context(Witness(endpoint, self._folder / "slow.log", pace_s=0.5))
            resources.callback(self._power.close)
            self.power_on()
            self.camera = resources.enter_context(SimcamControl(self.camera_state()))
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    # -- power

    def power_on(self) -> None:
        """Start the appliance and wait until parts are judged."""
        self.supervisor = self._power.enter_context(self._make_supervisor())
        known = len(self.witness.heard)
        self.supervisor.start()
        self.until(
            lambda: self.supervisor.is_up and any(map(is_judged, self.witness.heard[known:])), "parts to be judged"
        )

    def _make_supervisor(self) -> Supervisor:
        return Supervisor(
            process_table(self.config, self.config_path, os.getpid()),
            self.config.runtime_dir,
            config_path=self.config_path,
            environment=self.switch.environment(os.environ),
            show=lambda name, line: self.said.append(f"{name}: {line}"),
            steady_after_s=0,
        )

    def lose_power(self) -> None:
        """Kill everything at once and empty the runtime directory, as a machine does that loses its power.

        The camera beside the line has power of its own: its line runs on.
        """
        for child in self.supervisor.children:
            child.kill()
        self._power.close()
        for path in self.config.runtime_dir.iterdir():
            if path == simulator_dir(self.config.runtime_dir):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def camera_state(self) -> Path:
        """The simulated camera's state file."""
        return state_path(simulator_dir(self.config.runtime_dir), _SERIAL)

    # -- time passes

    def step(self) -> None:
        """Supervise, and take in what the listeners wrote."""
        self.supervisor.step()
        self.witness.read()
        self.mes.read()
        time.sleep(_STEP_S)

    def hold(self, seconds: float) -> None:
        """Let time pass."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def until(self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        """Let time pass until a condition holds.

        Raises:
            AssertionError: It never did; tells the end of what the processes printed.
        """
        end = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < end, f"waited {patience_s} s for {what}; processes said: {self.said[-15:]}"
            self.step()

    # -- what there is to see

    def train(self) -> PulseTrain:
        """The camera's trigger line."""
        first, second = (self.camera.pulse_time_ns(number) for number in (0, 1))
        assert first is not None
        assert second is not None
        return PulseTrain(first, second - first)

    def judged_since(self, at_ns: int) -> Heard | None:
        """The first verdict that rests on an image taken after a time; None while there is none."""
        pulse = self.camera.pulses(at_ns)
        found = None
        for each in reversed(self.witness.heard):
            if each.arrived_ns < at_ns:
                break
            if is_judged(each) and each.pulse is not None and each.pulse > pulse:
                found = each
        return found

    def has_row_since(self, at_ns: int) -> bool:
        """Whether the MES holds a result about a part that passed the camera after a time."""
        pulse = self.camera.pulses(at_ns)
        counts = (view["encoder_count"] for row in self.mes.rows[-50:] for view in row.get("views", ()))
        return any(count is not None and count > pulse for count in counts)

    def replay(self) -> list[dict[str, Any]]:
        """Everything the journal holds now, as replay gives it."""
        with ReplayClient(self.config.recorder.replay_endpoint) as client:
            head = client.head(PATIENCE_S)
            rows = read_rows(client, head.epoch, head.oldest_seq, head.head_seq, PATIENCE_S)
            return [json.loads(body) for _, body in rows]

    def books(self) -> dict[str, int]:
        """The camera's counts, as `appliance status` tells them."""
        argv = [sys.executable, "-m", "appliance", "status", "--json", "--config", str(self.config_path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)  # noqa: S603 (our own argv)
        camera = json.loads(done.stdout)["cameras"]["cam0"]
        return {name: camera[name] for name in ("triggers", "ok", "ng", "unknown", "open")}

    def await_recovery(self, episode: Episode) -> None:
        """Let time pass until everything works again; notes when it did."""

        def has_recovered() -> bool:
            if episode.verdict_ns is None and (verdict := self.judged_since(episode.released_ns)) is not None:
                episode.verdict_ns = verdict.arrived_ns
            if episode.row_ns is None and self.has_row_since(episode.released_ns):
                episode.row_ns = time.monotonic_ns()
            return episode.verdict_ns is not None and episode.row_ns is not None and self.supervisor.is_up

        self.until(has_recovered, f"recovery from {episode.fault}")

    def pid(self, name: str) -> int | None:
        """Process id of a process of the table; None while it waits for its restart."""
        return next(child for child in self.supervisor.children if child.spec.name == name).pid

    # -- what is done to it

    def signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a process as soon as it runs; gives the time."""
        self.until(lambda: self.pid(name) is not None, f"{name} runs")
        pid = self.pid(name)
        assert pid is not None
        at_ns = time.monotonic_ns()
        os.kill(pid, number)
        return at_ns


def is_judged(heard: Heard) -> bool:
    """Whether a verdict rests on an inspected image."""
    verdict: str = heard.message["verdict"]
    return verdict != "UNKNOWN"
