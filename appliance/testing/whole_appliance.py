"""The whole appliance under its supervisor, with a simulated camera, followed on its two lanes by a test."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.box.process_table import process_table
from appliance.box.status import appliance_status
from appliance.box.supervisor import Supervisor
from appliance.capture.simcam.control import SimcamControl
from appliance.capture.simulator import simulator_dir, state_path
from appliance.config import load
from appliance.tally import TallyCounts, count
from appliance.testing.patience import PATIENCE_S, patient_recipe
from appliance.testing.replayed import replayed_rows
from appliance.wire.result_lane import Result, ResultSubscriber
from appliance.wire.verdict_lane import VerdictSubscriber

START_PATIENCE_S = 2 * PATIENCE_S
"""Five programs load their libraries at once, maybe on half a processor."""
CAMERA = "cam0"
SERIAL = "SIM-0001"
REPOSITORY = Path(__file__).parents[2]

_CONFIG = """
line = "test"
station = "desk"
recipe = "{folder}/recipe.toml"
models_dir = "{models_dir}"
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"

[delivery]
verdict_endpoint = "ipc://{folder}/verdicts"
control_endpoint = "ipc://{folder}/control"
send_margin_ms = 150

[recorder]
result_endpoint = "ipc://{folder}/results"
replay_endpoint = "ipc://{folder}/replay"
image_queue_mb = 4
warn_free_mb = 3
evict_free_mb = 2
stop_free_mb = 1

[[cameras]]
name = "cam0"

[cameras.source]
kind = "genicam"
serial = "SIM-0001"

[cameras.source.simulator]
images = "{images}"
line_hz = {line_hz}

[cameras.source.features]
TriggerSelector = "FrameStart"
TriggerMode = "On"
TriggerSource = "Line0"
"""


class WholeAppliance:
    """Starts it, follows it, hurts it. `verdicts` and `results` hold all that came on the wire, each in order.

    Few pictures may wait: rows come behind them, and nobody's idle time is left for pictures on a busy machine.

    Args:
        more: Sections to append to the configuration; without [drift] nothing watches for it.
        images: What the camera replays. Default: the examples.
        models_dir: Default: the repository's.
        recipe: TOML in place of the example's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        line_hz: float = 12.0,
        more: str = "",
        models_dir: Path | None = None,
        recipe: str | None = None,
        images: Path | None = None,
    ) -> None:
        patient_recipe(folder / "recipe.toml", 800)
        if recipe is not None:
            (folder / "recipe.toml").write_text(recipe)
        self.config_path = folder / "appliance.toml"
        text = _CONFIG.format(
            folder=folder,
            images=images or REPOSITORY / "examples/deeppcb",
            line_hz=line_hz,
            models_dir=models_dir or REPOSITORY / "models",
        )
        quiet = "" if "[drift]" in more else "\n[drift]\nenabled = false\n"
        self.config_path.write_text(text + more + quiet)
        self.config = load(self.config_path)
        self.lines: list[str] = []
        self.verdicts: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.lane = VerdictSubscriber(self.config.delivery.verdict_endpoint)
        self.result_lane = ResultSubscriber(self.config.recorder.result_endpoint)
        self.supervisor = Supervisor(
            process_table(self.config, self.config_path, os.getpid()),
            self.config.runtime_dir,
            config_path=self.config_path,
            environment=os.environ,
            show=lambda name, line: self.lines.append(f"{name}: {line}"),
        )

    def __enter__(self) -> Self:
        self.supervisor.start()
        try:
            self.follow(lambda: self.supervisor.is_up and self.last_verdict() in {"OK", "NG"})
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, and hang up."""
        self.supervisor.close()
        self.drain()
        self.lane.close()
        self.result_lane.close()

    def follow(self, until: Callable[[], object], patience_s: float = START_PATIENCE_S) -> None:
        """Supervise and listen until something is true.

        Raises:
            AssertionError: It did not become true; tells the end of what the processes printed.
        """
        end = time.monotonic() + patience_s
        while not until():
            self.supervisor.step()
            self._listen(0.02)
            assert time.monotonic() < end, f"waited {patience_s} s; processes said: {self.lines[-10:]}"

    def drain(self) -> None:
        """Take what is still on the wire."""
        while self._listen(0.2):
            pass

    def _listen(self, timeout_s: float) -> bool:
        received = self.lane.receive(timeout_s)
        if received is not None:
            self.verdicts.append(json.loads(received[1]))
        while (message := self.result_lane.receive(0)) is not None:
            if isinstance(message, Result):
                self.results.append(json.loads(message.body))
        return received is not None

    def last_verdict(self) -> str | None:
        """The newest verdict's word."""
        return self.verdicts[-1]["verdict"] if self.verdicts else None

    def judged(self) -> int:
        """Verdicts so far that rest on an inspected image."""
        return sum(verdict["verdict"] != "UNKNOWN" for verdict in self.verdicts)

    def pid(self, name: str) -> int | None:
        """Process id of a process of the table; None while it waits for its restart."""
        return next(child for child in self.supervisor.children if child.spec.name == name).pid

    def pause(self, seconds: float) -> None:
        """Supervise and listen for so long."""
        end = time.monotonic() + seconds
        self.follow(lambda: time.monotonic() >= end)

    def kill(self, name: str, *, judged_again: int = 5) -> None:
        """SIGKILL a process, then wait until it is back and so many parts are judged again."""
        old, judged = self.pid(name), self.judged()
        assert old is not None
        os.kill(old, signal.SIGKILL)
        enough = judged + judged_again
        self.follow(lambda: self.pid(name) not in {old, None} and self.supervisor.is_up and self.judged() >= enough)

    def camera(self) -> SimcamControl:
        """A hand on the simulated camera."""
        return SimcamControl(state_path(simulator_dir(self.config.runtime_dir), SERIAL))

    def counts(self) -> TallyCounts:
        """Counts from the tally files."""
        return count(self.config.runtime_dir, CAMERA)

    def journalled(self) -> list[dict[str, Any]]:
        """Fetch every row that closes an inspection, by replay."""
        rows = replayed_rows(self.config.recorder.replay_endpoint)
        return [row for row in rows if row["kind"] == "inspection"]

    def journalled_triggers(self) -> list[int]:
        """Triggers that those rows close."""
        return [view["trigger_id"] for row in self.journalled() for view in row["views"]]

    def status(self) -> dict[str, Any]:
        """What `appliance status --json` prints."""
        return appliance_status(self.config)
