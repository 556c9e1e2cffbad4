"""A grabber whose camera and counter contradict each other: UNKNOWN, then a new acquisition brings them together."""

import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.capture.delivery import Announcement, Counting, Delivery, StreamPlan
from appliance.capture.device_clock import DeviceClock
from appliance.capture.grabber import run_grabber
from appliance.capture.source import SOURCES
from appliance.config import ApplianceConfig
from appliance.errors import ExitCode, SourceLost, StageFailed
from appliance.messages import FrameGeometry, Reason, Trigger
from appliance.ring import RingMemory
from appliance.stage import Stage
from appliance.tally import AnnouncedReader, AnnouncedWriter
from appliance.tally.records import CAPACITY

PLAN = StreamPlan(FrameGeometry(16, 8, "Mono8"), is_free_running=False, counting=Counting.TRIGGERS)


@dataclass
class ScriptedCamera:
    """Plays one script of (frame_id, count) or errors per acquisition; ends the stage after the last."""

    scripts: list[list[tuple[int, int] | Exception]]
    plans: list[StreamPlan] = field(default_factory=lambda: [PLAN])
    clock: DeviceClock = field(default_factory=lambda: DeviceClock(1.0))
    stage: Stage | None = None
    acquisitions: int = 0
    generations: list[FrameGeometry] = field(default_factory=list)
    _slots: deque[int] = field(default_factory=deque)
    _opened: int = 0

    def open(self) -> StreamPlan:
        self._opened += 1
        return self.plans[min(self._opened, len(self.plans)) - 1]

    def announce(self, memory: RingMemory) -> Announcement:
        self.generations.append(memory.layout.geometry)
        return Announcement.FILES

    def queue(self, slot: int) -> None:
        self._slots.append(slot)

    def start(self) -> None:
        self._script = deque(self.scripts[self.acquisitions])
        self.acquisitions += 1

    def wait(self, timeout_s: float) -> Delivery | None:
        if not self._script:
            if self.acquisitions == len(self.scripts) and self.stage is not None:
                self.stage.is_stopping = True
            time.sleep(0.001)
            return None
        step = self._script.popleft()
        if isinstance(step, Exception):
            raise step
        return Delivery(self._slots.popleft(), time.monotonic_ns(), step[0], count=step[1])

    def wake(self) -> None:
        pass

    def probe(self, now_ns: int) -> None:
        pass

    def halt(self) -> None:
        pass

    def end(self) -> None:
        self._slots.clear()

    def close(self, *, is_final: bool = True) -> None:
        pass

    def status(self) -> dict[str, Any]:
        return {"serial": "script", "underruns": 0}


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """The grabber runs in this very process here, and takes its signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _run(camera: ScriptedCamera, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Reason]:
    monkeypatch.setitem(SOURCES, "folder", lambda *_: camera)
    config = ApplianceConfig.model_validate(
        {
            "line": "l",
            "station": "s",
            "recipe": "r",
            "models_dir": "m",
            "cameras": [{"name": "cam0", "source": {"kind": "folder", "images": "i"}, "ring": {"slots": 8}}],
            "runtime_dir": folder / "run",
            "state_dir": folder / "state",
        }
    )
    camera.stage = Stage("grab-cam0", config.runtime_dir)
    run_grabber(config, "cam0", camera.stage)
    return _reasons(config.runtime_dir)


def _reasons(runtime_dir: Path) -> list[Reason]:
    announced = AnnouncedReader(runtime_dir, "cam0")
    first, last = announced.reopen(), announced.last_id()
    assert first is not None
    assert last is not None
    triggers = [announced.read(number) for number in range(first, last + 1)]
    announced.close()
    return [trigger.reason for trigger in triggers if trigger is not None]


D = Reason.INSPECTOR_DOWN  # nobody reads: a good frame otherwise


def test_a_contradiction_is_not_ready_until_a_new_acquisition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = ScriptedCamera([[(1, 10), (2, 11), (3, 11), (4, 12)], [(1, 15), (2, 16)]])

    reasons = _run(camera, tmp_path, monkeypatch)

    not_ready = Reason.NOT_READY
    assert reasons == [D, D, not_ready, not_ready, not_ready, not_ready, D, D]
    assert camera.acquisitions == 2
    assert len(camera.generations) == 2


def test_an_error_while_waiting_is_a_lost_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = ScriptedCamera([[(1, 10), SourceLost("unplugged")], [(1, 13)]])

    assert _run(camera, tmp_path, monkeypatch) == [D, Reason.CAMERA_LOST, Reason.CAMERA_LOST, D]


def test_a_camera_that_comes_back_with_other_frames_gets_new_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = StreamPlan(FrameGeometry(32, 8, "Mono8"), is_free_running=False, counting=Counting.TRIGGERS)
    camera = ScriptedCamera([[(1, 10), SourceLost("unplugged")], [(1, 11)]], plans=[PLAN, other])

    assert _run(camera, tmp_path, monkeypatch) == [D, D]
    assert camera.generations == [PLAN.geometry, other.geometry]


def test_a_fault_of_our_own_in_the_capture_thread_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = ScriptedCamera([[(1, 10), ZeroDivisionError("a bug")]])

    with pytest.raises(StageFailed, match="a bug") as caught:
        _run(camera, tmp_path, monkeypatch)

    assert caught.value.exit_code == ExitCode.STAGE
    assert [thread for thread in threading.enumerate() if thread.name in {"capture", "ring"}] == []
    assert not list((tmp_path / "run").glob("*.sock"))


def test_a_full_tally_costs_frames_visibly_and_no_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 10
    (tmp_path / "run").mkdir()
    predecessor = AnnouncedWriter(tmp_path / "run", tmp_path / "state", "cam0")
    for _ in range(CAPACITY - room):
        predecessor.announce(Trigger(trigger_id=predecessor.next_trigger_id, exposed_ns=1))
    predecessor.close()
    frames: list[tuple[int, int] | Exception] = [(number, number) for number in range(1, 5 * room)]
    camera = ScriptedCamera([frames])  # takes a slot for each frame: it would run out of them

    reasons = _run(camera, tmp_path, monkeypatch)

    assert len(reasons) == CAPACITY
    assert reasons[-room:] == [D] * room
