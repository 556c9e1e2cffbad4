"""A line that a test drives by hand: a ring with its inspector, a result lane, and a capture that follows both."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from appliance.config import load, load_recipe, recipe_reference
from appliance.errors import NotRunning
from appliance.learning.capture import Capture, CapturedFolder, CaptureRequest
from appliance.messages import (
    Defect,
    Finding,
    FrameGeometry,
    ModelIdentity,
    Outcome,
    Part,
    Reason,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    encode,
    inspection_record,
    result_topic,
    shadow_finding_record,
    verdict_message,
)
from appliance.ring import FrameRing, ReaderRole, RingLayout, RingReader
from appliance.stage import Stage
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.wire.result_lane import ResultPublisher, heartbeat_topic

REPOSITORY = Path(__file__).parents[2]
WIDTH, HEIGHT = 64, 48
MODEL = ModelIdentity("tiny", "5" * 64, "6" * 64)
SHADOW = ModelIdentity("other", "7" * 64, "8" * 64)
EPOCH = "0123456789abcdef"
CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
_TOPIC = result_topic("line1", "tabs", is_simulated=True)
_HEARTBEAT = heartbeat_topic("line1", "tabs", is_simulated=True)
_CONFIG = """
line = "line1"
station = "tabs"
recipe = "{repository}/examples/recipes/deeppcb.toml"
models_dir = "{repository}/models"
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"

[recorder]
result_endpoint = "ipc://{folder}/results"
replay_endpoint = "ipc://{folder}/replay"

[[cameras]]
name = "cam0"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}
"""


def scene(seed: int) -> NDArray[np.uint8]:
    """Give a picture of soft blobs, (HEIGHT, WIDTH): each seed looks different from every other one."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (6, 8)).astype(np.uint8)
    return np.kron(coarse, np.ones((HEIGHT // 6, WIDTH // 8), np.uint8))


class CaptureStand:
    """Exposes parts, tells their results, lets the capture work. `capture` is there after `start`."""

    def __init__(self, folder: Path) -> None:
        self.config_path = path = folder / "config.toml"
        path.write_text(_CONFIG.format(repository=REPOSITORY, folder=folder))
        self.config = load(path)
        self.recipe = recipe_reference(self.config.recipe, load_recipe(self.config.recipe))
        self.out = folder / "captured"
        Stage("test", self.config.runtime_dir)  # makes the directory
        self.config.state_dir.mkdir()
        socket = self.config.runtime_dir / "ring.cam0.sock"
        self.ring = FrameRing(socket)
        self.ring.renew(RingLayout.plan(FrameGeometry(WIDTH, HEIGHT, "Mono8"), 16))
        self._inspector = RingReader(socket, ReaderRole.INSPECTOR)
        assert self._inspector.connect()
        self._settle()
        self._lane = ResultPublisher(self.config.recorder.result_endpoint)
        self._seq = 0
        self._next_id = 1
        self._opened: list[CapturedFolder] = []
        self._captures: list[Capture] = []

    def start(
        self, *, prelabels: bool = False, limit_bytes: int = 10**9, min_free_bytes: int = 0, **wishes: Any
    ) -> Capture:
        """Start a capture into `out`, and wait until it is attached."""
        self.folder = CapturedFolder(
            self.out, limit_bytes=limit_bytes, min_free_bytes=min_free_bytes, class_names=CLASSES
        )
        self._opened.append(self.folder)
        self.capture = Capture(
            self.config,
            CaptureRequest(**wishes),
            self.folder,
            cameras=["cam0"],
            exposure_of=lambda _: {"exposure_time_us": 200.0, "gain": 1.5},
            prelabels=prelabels,
        )
        self._captures.append(self.capture)
        wait_for(self._attach, what="the result lane")
        self._settle()
        self.capture.step()
        return self.capture

    def _settle(self) -> None:
        """Let the ring accept, hear hellos, releases and ends."""
        for _ in range(3):
            self.ring.serve(0)

    def _attach(self) -> bool:
        """Speak on the lane until the capture has heard it."""
        self.heartbeat()
        try:
            self.capture.attach(0.05)
        except NotRunning:
            return False
        return True

    def expose(self, pixels: NDArray[np.uint8], *, flags: TriggerFlag = TriggerFlag.SIMULATED) -> Trigger:
        """Deliver one frame to all readers; the inspector gives it back at once."""
        number, self._next_id = self._next_id, self._next_id + 1
        now_ns = time.monotonic_ns()
        trigger = Trigger(number, now_ns, frame_id=number, width=WIDTH, height=HEIGHT, flags=flags)
        slot = self.ring.loan()
        assert slot is not None
        assert self.ring.memory is not None
        self.ring.memory.writable(slot)[: pixels.size] = pixels.reshape(-1)
        assert self.ring.receive(slot).reason is Reason.NONE
        self.ring.offer(slot, trigger)
        for lease in self._inspector.receive():
            lease.release()
        self.ring.serve(0)
        return trigger

    def show(self, pixels: NDArray[np.uint8], *, flags: TriggerFlag = TriggerFlag.SIMULATED) -> Trigger:
        """Deliver one frame, and let the capture look at it."""
        seen = self.capture.summary()["frames_seen"]
        trigger = self.expose(pixels, flags=flags)
        self.work(lambda: self.capture.summary()["frames_seen"] > seen)
        return trigger

    def skip(self) -> Trigger:
        """Make a trigger whose frame the capture isn't offered."""
        number, self._next_id = self._next_id, self._next_id + 1
        return Trigger(number, time.monotonic_ns(), frame_id=number, width=WIDTH, height=HEIGHT)

    def tell(
        self,
        trigger: Trigger,
        verdict: VerdictWord = VerdictWord.OK,
        defects: Sequence[Defect] = (),
        near_misses: Sequence[Defect] = (),
        part: Part | None = None,
    ) -> None:
        """Send the result of a part."""
        finding = Finding(
            "cam0",
            trigger.trigger_id,
            verdict,
            defects=tuple(defects),
            near_misses=tuple(near_misses),
            region_px=(0, 0, WIDTH, HEIGHT),
            model=MODEL,
        )
        outcome = Outcome(
            line="line1",
            station="tabs",
            ledger_epoch=EPOCH,
            verdict_seq=trigger.trigger_id,
            inspection_id=trigger.trigger_id + 1000,
            views=[View("cam0", trigger, finding)],
            verdict=verdict,
            reason=Reason.NONE,
            decided_ns=trigger.exposed_ns,
            deadline_ns=trigger.exposed_ns,
            part=part or Part(),
            model=MODEL.reference,
            recipe=self.recipe,
        )
        self.publish(inspection_record(outcome, verdict_message(outcome), was_sent=True))

    def tell_shadow(self, trigger: Trigger, verdict: VerdictWord) -> None:
        """Send what a shadow model says of a part."""
        finding = Finding("cam0", trigger.trigger_id, verdict, model=SHADOW)
        record = shadow_finding_record(
            finding,
            line="line1",
            station="tabs",
            ledger_epoch=EPOCH,
            recipe=self.recipe,
            is_simulated=True,
            recorded_at="2026-01-01T00:00:00Z",
        )
        self.publish(record)

    def heartbeat(self) -> None:
        """Say where the lane stands, as a recorder does each second."""
        self._lane.heartbeat(_HEARTBEAT, EPOCH, self._seq, 1, time.time_ns())

    def publish(self, record: Mapping[str, Any]) -> None:
        """Send any record."""
        self._seq += 1
        self._lane.publish(_TOPIC, EPOCH, self._seq, encode(dict(record)))

    def work(self, is_done: Callable[[], object]) -> None:
        """Let the capture work until something is true.

        Raises:
            AssertionError: It did not become true.
        """
        end = time.monotonic() + PATIENCE_S
        while not is_done():
            self.capture.step()
            self.ring.serve(0)
            assert time.monotonic() < end, f"waited in vain; {self.capture.tally}"

    def end(self) -> dict[str, Any]:
        """Finish the capture, and close it; gives its summary."""
        self.capture.finish(0.0)
        self.capture.close()
        self._captures.remove(self.capture)
        self.folder.close()
        self._opened.remove(self.folder)
        return self.capture.summary()

    def close(self) -> None:
        """End everything."""
        for capture in self._captures:
            capture.close()
        for folder in self._opened:
            folder.close()
        self._inspector.close()
        self.ring.close()
        self._lane.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
