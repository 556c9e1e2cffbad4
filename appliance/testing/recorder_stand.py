"""A real recorder process between a scripted grabber and publisher, followed on its result lane and by replay."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.clock import NS_PER_MS
from appliance.config import load
from appliance.messages import (
    FrameGeometry,
    Outcome,
    Reason,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    encode,
    inspection_record,
    verdict_message,
)
from appliance.ring import FrameRing, RingLayout
from appliance.stage import Stage
from appliance.tally import AnnouncedWriter, DecidedWriter, Decision, IdBlock, SpoolWriter, ledger_epoch
from appliance.testing.marked_frames import mark
from appliance.testing.patience import PATIENCE_S
from appliance.testing.replayed import replayed_rows
from appliance.wire.result_lane import Heartbeat, Result, ResultSubscriber

REPOSITORY = Path(__file__).parents[2]
WIDTH, HEIGHT = 64, 48
_CONFIG = """
line = "line1"
station = "tabs"
recipe = "{repository}/examples/recipes/deeppcb.toml"
models_dir = "{repository}/models"
runtime_dir = "{folder}/run"
state_dir = "{state_dir}"

[recorder]
result_endpoint = "ipc://{folder}/results"
replay_endpoint = "ipc://{folder}/replay"
warn_free_mb = 3
evict_free_mb = 2
stop_free_mb = 1
{settings}

[[cameras]]
name = "cam0"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}
"""


class RecorderStand:
    """Decides triggers as publisher and grabber would, and keeps what the recorder tells of them.

    Args:
        settings: More lines for [recorder].
        environment: The recorder's.
    Attributes:
        results: Everything that came on the lane, in order, parsed.
        heartbeats: Likewise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        state_dir: Path | None = None,
        settings: str = "",
        slots: int = 32,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment
        self.state_dir = state_dir or folder / "state"
        self.config_path = folder / "config.toml"
        self.config_path.write_text(
            _CONFIG.format(repository=REPOSITORY, folder=folder, state_dir=self.state_dir, settings=settings)
        )
        self.config = load(self.config_path)
        runtime_dir = self.config.runtime_dir
        Stage("test", runtime_dir)  # makes the directory
        self._grabber = AnnouncedWriter(runtime_dir, self.state_dir, "cam0")
        self.epoch = ledger_epoch(self.state_dir)
        self._publisher = DecidedWriter(runtime_dir, "cam0", self.epoch, self._grabber.next_trigger_id)
        self._inspections = IdBlock(self.state_dir, "inspection")
        self.next_inspection = self._inspections.fresh_start
        self._inspections.ensure(self.next_inspection)
        self.spool = SpoolWriter(runtime_dir, 64 * 1024 * 1024)
        self.ring = FrameRing(runtime_dir / "ring.cam0.sock")
        self.ring.renew(RingLayout.plan(FrameGeometry(WIDTH, HEIGHT, "Mono8"), slots))
        self.lane = ResultSubscriber(self.config.recorder.result_endpoint)
        self.results: list[dict[str, Any]] = []
        self.heartbeats: list[Heartbeat] = []
        self.process: subprocess.Popen[bytes] | None = None

    # -- the recorder

    def start(self) -> None:
        """Start the recorder and wait until it answers."""
        argv = [sys.executable, "-m", "appliance", "stage", "record", "--config", str(self.config_path)]
        self.process = subprocess.Popen(argv, env=self._environment)  # noqa: S603 (our own command)
        seen = len(self.heartbeats)
        self.wait_for(lambda: len(self.heartbeats) > seen and self.lane.is_connected)

    def signal(self, number: signal.Signals) -> None:
        """Send the recorder a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL the recorder and wait for its end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def lose_power(self) -> None:
        """Kill the recorder and empty the runtime directory: what a new stand finds after a power loss."""
        self.kill()
        shutil.rmtree(self.config.runtime_dir)

    def stop(self) -> int:
        """SIGTERM the recorder; gives its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def status(self) -> dict[str, Any]:
        """What the recorder last said of itself."""
        path = self.config.runtime_dir / "status.record.json"
        self.wait_for(path.exists)
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    # -- triggers

    def decide(
        self,
        verdict: VerdictWord = VerdictWord.OK,
        *,
        has_frame: bool = True,
        is_spooled: bool = True,
        is_decided: bool = True,
    ) -> int:
        """Take one part through exposure, offer, decision and spool, or as far as it says; gives its trigger id."""
        number = self._grabber.next_trigger_id
        now_ns = time.monotonic_ns()
        trigger = Trigger(
            number, now_ns, frame_id=number if has_frame else 0, width=WIDTH, height=HEIGHT, flags=TriggerFlag.SIMULATED
        )
        self._deliver(trigger, has_frame=has_frame)
        if not is_decided:
            return number
        inspection, self.next_inspection = self.next_inspection, self.next_inspection + 1
        reason = Reason.LATE if verdict is VerdictWord.UNKNOWN else Reason.NONE
        deadline_ns = now_ns + 200 * NS_PER_MS
        self._publisher.decide(Decision(number, inspection, inspection, verdict, reason, True, now_ns, deadline_ns))
        outcome = Outcome(
            line="line1",
            station="tabs",
            ledger_epoch=self.epoch,
            verdict_seq=inspection,
            inspection_id=inspection,
            views=[View("cam0", trigger)],
            verdict=verdict,
            reason=reason,
            decided_ns=now_ns,
            deadline_ns=deadline_ns,
        )
        if is_spooled:
            self.spool_record(inspection_record(outcome, verdict_message(outcome), was_sent=True))
        return number

    def spool_record(self, record: dict[str, Any]) -> None:
        """Hand a record to the recorder."""
        self.spool.append(encode(record))

    def _deliver(self, trigger: Trigger, *, has_frame: bool) -> None:
        self.ring.serve(0)
        slot = self.ring.loan() if has_frame else None
        if slot is None:
            self._grabber.announce(trigger)
            return
        assert self.ring.memory is not None
        mark(self.ring.memory, slot, trigger.trigger_id)
        self.ring.receive(slot)
        self._grabber.announce(trigger)
        self.ring.offer(slot, trigger)
        self.ring.serve(0)

    # -- what came of them

    def wait_for(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Listen, and serve the ring, until something is true.

        Raises:
            AssertionError: It did not become true.
        """
        end = time.monotonic() + patience_s
        while not condition():
            self.ring.serve(0)
            self.listen(0.01)
            assert time.monotonic() < end, f"waited {patience_s} s; {len(self.results)} results"

    def listen(self, timeout_s: float) -> None:
        """Take what is on the lane."""
        message = self.lane.receive(timeout_s)
        while message is not None:
            if isinstance(message, Result):
                self.results.append(json.loads(message.body))
            elif isinstance(message, Heartbeat):
                self.heartbeats.append(message)
            message = self.lane.receive(0)

    def told(self) -> list[int]:
        """Trigger ids of all results so far."""
        return [view["trigger_id"] for each in self.results for view in each.get("views", [])]

    def result(self, trigger_id: int) -> dict[str, Any]:
        """Wait for a trigger's result."""
        self.wait_for(lambda: trigger_id in self.told())
        return next(each for each in self.results if trigger_id in {v["trigger_id"] for v in each.get("views", [])})

    def row(self, trigger_id: int) -> dict[str, Any]:
        """Wait for a trigger's row: a result may have gone out before anybody listened."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found.extend(r for r in self.journalled() if trigger_id in {v["trigger_id"] for v in r.get("views", [])})
            return bool(found)

        self.wait_for(is_there)
        return found[0]

    def journalled(self) -> list[dict[str, Any]]:
        """Fetch every row by replay."""
        return replayed_rows(self.config.recorder.replay_endpoint)

    # -- around it

    def close(self) -> None:
        """End everything."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.lane.close()
        self.ring.close()
        self.spool.close()
        self._publisher.close()
        self._grabber.close()
        self._inspections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
