"""Where frames come from: one protocol, a literal table of kinds.

A life: `open`, `announce`, `queue` for the first slots, `start`, then `wait` until `halt`; `end`, and from `announce`
again for the next acquisition; `close`, and from `open` again for a camera that came back.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from appliance.capture.camera import GenicamCamera
from appliance.capture.delivery import Announcement, Delivery, StreamPlan
from appliance.capture.device_clock import DeviceClock
from appliance.capture.folder import ImageFolder
from appliance.config import CameraConfig, GenicamSource
from appliance.ring import RingMemory


class Source(Protocol):
    """A camera, or something that replays one.

    Owner's thread (one thread, for its whole life; it alone touches the node map): `open`, `announce`, `start`,
    `probe`, `halt`, `end`, `close`. Capture thread: `wait`. Any thread: `queue`, `wake`, `status`.
    """

    clock: DeviceClock
    """Maps the source's timestamps to CLOCK_MONOTONIC; fed by `open` and `probe`."""

    def open(self) -> StreamPlan:
        """Find, open and set up the source.

        Raises:
            SourceMissing: Not there. May be tried again at any time.
            SourceLost: Went away meanwhile.
            FeatureRefused: It is there, and can't be set up as configured.
        """
        ...

    def announce(self, memory: RingMemory) -> Announcement:
        """Agree on the memory that frames arrive in.

        Raises:
            SourceError: Refused.
        """
        ...

    def queue(self, slot: int) -> None:
        """Give a loaned slot to the source, from `announce` on. The same slot never twice without a delivery.

        Raises:
            SourceLost: Not taken; the slot stays the caller's.
        """
        ...

    def start(self) -> None:
        """Start an acquisition.

        Raises:
            SourceError: It doesn't start.
        """
        ...

    def wait(self, timeout_s: float) -> Delivery | None:
        """Wait for the next frame; None after the timeout, after `wake`, and once halted and drained.

        Raises:
            SourceLost: No more frames will come.
        """
        ...

    def wake(self) -> None:
        """End a `wait` now."""
        ...

    def probe(self, now_ns: int) -> None:
        """Ask the source whether it is alive, about once a second; also compares its clock and features.

        Raises:
            SourceLost: No answer.
        """
        ...

    def halt(self) -> None:
        """Stop exposing; frames already delivered can still be waited for. Never raises."""
        ...

    def end(self) -> None:
        """End the acquisition: all slots are the caller's again. Nobody may be in `wait`. Never raises."""
        ...

    def close(self, *, is_final: bool = True) -> None:
        """Let go of the source, and of the vendor's library too when it is not expected back. Never raises."""
        ...

    def status(self) -> dict[str, Any]:
        """Give `serial`, `underruns` and what else people should know."""
        ...


def _genicam(camera: CameraConfig, simulator_dir: Path) -> Source:
    assert isinstance(camera.source, GenicamSource)
    return GenicamCamera(camera.name, camera.source, simulator_dir)


def _folder(camera: CameraConfig, simulator_dir: Path) -> Source:  # noqa: ARG001 (one signature for all kinds)
    assert camera.source.kind == "folder"
    return ImageFolder(camera.name, camera.source)


SOURCES: dict[str, Callable[[CameraConfig, Path], Source]] = {
    "genicam": _genicam,
    "folder": _folder,
}
"""Every kind of `cameras.source` and what opens it."""


def open_source(camera: CameraConfig, simulator_dir: Path) -> Source:
    """Make a camera's source; nothing is touched before `open`.

    Args:
        simulator_dir: Where a simulated camera keeps its settings, pictures and state: outlives the process.
    """
    return SOURCES[camera.source.kind](camera, simulator_dir)
