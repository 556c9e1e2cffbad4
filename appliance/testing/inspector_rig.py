"""Everything around an inspector, in the test's own process: rings that a test fills, and an ear for findings."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from appliance import seqpacket
from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig
from appliance.inspection.inspector import Inspector
from appliance.messages import Finding, FrameGeometry, Reason, Trigger
from appliance.ring import FrameRing, RingLayout
from appliance.stage import Stage
from appliance.testing.patience import PATIENCE_S
from appliance.wire.publisher_link import publisher_socket

RECIPE = """
name = "bright-cells"
version = 1
model = "{model}"
deadline_ms = {deadline_ms}
[evidence]
mean_grey_min = 10
mean_grey_max = 245
sharpness_min = {sharpness_min}
[classes.bright]
score = 0.7
[classes.dark]
score = 0.7
"""


class FilledRing:
    """A grabber's ring without a camera: the test is the camera."""

    def __init__(self, runtime_dir: Path, camera: str, geometry: FrameGeometry, *, slots: int = 16) -> None:
        self.camera = camera
        self.geometry = geometry
        self.freed: list[int] = []
        self._ring = FrameRing(runtime_dir / f"ring.{camera}.sock", on_freed=self.freed.extend)
        self._memory = self._ring.renew(RingLayout.plan(geometry, slots))

    @property
    def has_inspector(self) -> bool:
        """Whether the inspector is connected."""
        return self._ring.has_inspector

    @property
    def leased(self) -> int:
        """Slots that the inspector holds."""
        return self._ring.status()["leased"]

    def serve(self) -> None:
        """Accept readers and take releases, without waiting."""
        self._ring.serve(0)

    def offer(self, image: NDArray[Any], trigger_id: int, *, age_ms: float = 0, frame_id: int | None = None) -> Reason:
        """Deliver one frame as if the camera had exposed it `age_ms` ago."""
        trigger = Trigger(
            trigger_id=trigger_id,
            exposed_ns=time.monotonic_ns() - int(age_ms * 1e6),
            frame_id=trigger_id if frame_id is None else frame_id,
            stream_epoch=1,
            width=self.geometry.width,
            height=self.geometry.height,
        )
        slot, reason = self.fill(image)
        return reason if slot is None else self.lend(slot, trigger)

    def fill(self, image: NDArray[Any]) -> tuple[int | None, Reason]:
        """Receive a frame into a slot; None with the reason where it can't be offered."""
        slot = self._ring.loan()
        if slot is None:
            return None, Reason.RING_FULL
        flat = np.ascontiguousarray(image).view(np.uint8).reshape(-1)
        self._memory.writable(slot)[: len(flat)] = flat
        outcome = self._ring.receive(slot)
        if outcome.reason is Reason.NONE:
            return slot, Reason.NONE
        if slot not in outcome.freed:
            self._ring.abandon(slot)
        return None, outcome.reason

    def lend(self, slot: int, trigger: Trigger) -> Reason:
        """Offer a received frame, once its trigger is announced."""
        return self._ring.offer(slot, trigger).reason

    def close(self) -> None:
        """Vanish as a killed grabber does."""
        self._ring.close()


class Ear:
    """The publisher's socket: hears hellos and findings, decides nothing."""

    def __init__(self, runtime_dir: Path) -> None:
        self.hellos: list[bytes] = []
        self.findings: list[Finding] = []
        self._path = publisher_socket(runtime_dir)
        self._server = seqpacket.listen(self._path)
        self._peers: list[socket.socket] = []

    def serve(self) -> None:
        """Take in what was said, without waiting."""
        if (peer := seqpacket.accept(self._server)) is not None:
            self._peers.append(peer)
        for peer in list(self._peers):
            try:
                for message, _ in seqpacket.drain(peer):
                    self._hear(message)
            except EOFError:
                self._peers.remove(peer)
                peer.close()

    def _hear(self, message: bytes) -> None:
        if b'"role"' in message:
            self.hellos.append(message)
        else:
            self.findings.append(Finding.decode(message))

    def close(self) -> None:
        """Vanish as a killed publisher does."""
        for peer in self._peers:
            peer.close()
        self._server.close()
        self._path.unlink()


def inspector_config(
    folder: Path,
    cameras: Iterable[str],
    *,
    model: str,
    models_dir: Path | None = None,
    recipe: str = RECIPE,
    deadline_ms: float = 5000,
    sharpness_min: float = 0,
    **inspector: Any,
) -> ApplianceConfig:
    """Write a recipe to `folder` and make a configuration that names it; keyword arguments beyond go to [inspector]."""
    recipe_path = folder / "recipe.toml"
    recipe_path.write_text(recipe.format(model=model, deadline_ms=deadline_ms, sharpness_min=sharpness_min))
    return ApplianceConfig.model_validate(
        {
            "line": "line1",
            "station": "station1",
            "recipe": recipe_path,
            "models_dir": models_dir or folder,
            "cameras": [{"name": name, "source": {"kind": "folder", "images": folder}} for name in cameras],
            "inspector": {"intra_op_num_threads": 1, **inspector},
            "runtime_dir": folder / "run",
            "state_dir": folder / "state",
        }
    )


class InspectorRig:
    """An inspector in a thread, with a ring for each camera and an ear. A context manager: stops what it started."""

    def __init__(self, config: ApplianceConfig, geometries: dict[str, FrameGeometry]) -> None:
        self.runtime_dir = config.runtime_dir
        self.stage = Stage("inspect", self.runtime_dir)
        self.inspector = Inspector(config, self.stage)
        self.rings = {name: FilledRing(self.runtime_dir, name, shape) for name, shape in geometries.items()}
        self.ear: Ear | None = Ear(self.runtime_dir)
        self._thread = threading.Thread(target=self._live, name="inspector")
        self.failure: BaseException | None = None

    def _live(self) -> None:
        try:
            self.inspector.start()
            self.inspector.run()
            self.inspector.finish()
        except BaseException as error:  # for the test to see
            self.failure = error
        finally:
            self.inspector.close()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.until(lambda: all(ring.has_inspector for ring in self.rings.values()))
            self.until(lambda: self.ear is None or bool(self.ear.hellos))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for ring in self.rings.values():
            ring.close()
        if self.ear is not None:
            self.ear.close()
        self.stage.stopped()

    def stop(self) -> float:
        """Ask the inspector to stop, wait for it; gives the seconds it took."""
        start_ns = time.monotonic_ns()
        self.stage.is_stopping = True
        self._thread.join(PATIENCE_S)
        took_s = (time.monotonic_ns() - start_ns) / NS_PER_S
        self.serve()
        return took_s

    def serve(self) -> None:
        """Let rings and ear take in what the inspector sent."""
        for ring in self.rings.values():
            ring.serve()
        if self.ear is not None:
            self.ear.serve()

    def until(self, is_so: Callable[[], bool]) -> None:
        """Serve until a condition holds; an assertion fails when it doesn't within `PATIENCE_S`."""
        end_ns = time.monotonic_ns() + int(PATIENCE_S * NS_PER_S)
        while not is_so():
            assert time.monotonic_ns() < end_ns, f"waited {PATIENCE_S} s; inspector: {self.failure or self.status()}"
            self.serve()
            time.sleep(0.001)

    def findings(self, count: int) -> list[Finding]:
        """Wait for so many findings in all, and give them in the order of their coming."""
        ear = self.ear
        assert ear is not None, "nobody listens"
        self.until(lambda: len(ear.findings) >= count)
        return ear.findings

    def status(self) -> dict[str, Any]:
        """What the inspector tells."""
        return self.inspector.status()
