"""A real grabber process with its camera, and a hand on both: start, kill, stop, faults, what it announced.

`python -m appliance.testing.grabber_rig CONFIG CAMERA` is the process.
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.capture.grabber import run_grabber
from appliance.capture.simcam.control import SimcamControl
from appliance.capture.simulator import simulator_dir, state_path
from appliance.config import ApplianceConfig, load
from appliance.errors import ApplianceError
from appliance.messages import Reason, Trigger
from appliance.ring import RingReader
from appliance.stage import Stage
from appliance.tally import AnnouncedReader
from appliance.testing.patience import PATIENCE_S

CAMERA = "cam0"
SERIAL = "SIM-0001"
TRIGGERED = {"TriggerSelector": "FrameStart", "TriggerSource": "Line0", "TriggerMode": "On"}


def write_images(folder: Path, count: int, *, width: int = 96, height: int = 64) -> list[NDArray[np.uint8]]:
    """Write grey images, each with its number as mark in every eighth pixel; gives them in replay order."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(width)
    images = []
    for number in range(count):
        image = random.integers(20, 230, (height, width), dtype=np.uint8)
        image.reshape(-1)[::8] = number
        cv2.imwrite(str(folder / f"{number:04d}.png"), image)
        images.append(image)
    return images


class GrabberRig:
    """One camera's grabber as a process of its own, in a runtime directory of the test's.

    Args:
        slots: Many: whoever plays the inspector may get no processor for a second.
    """

    def __init__(self, folder: Path, source: dict[str, Any], *, slots: int = 128) -> None:
        self._config_path = folder / "rig.toml"
        self._config_path.write_text(_toml(folder, source, slots))
        self.config: ApplianceConfig = load(self._config_path)
        self.config.runtime_dir.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[str] | None = None
        self.reader = RingReader(self.config.runtime_dir / f"ring.{CAMERA}.sock")
        self.frames: list[tuple[Trigger, NDArray[Any]]] = []

    # -- the process

    def start(self) -> None:
        """Start a grabber and wait until it captures."""
        self.spawn()
        self.wait_for(lambda: self.status().get("state") == "capturing")

    def spawn(self) -> None:
        """Start a grabber."""
        (self.config.runtime_dir / f"status.grab-{CAMERA}.json").unlink(missing_ok=True)
        argv = [sys.executable, "-m", "appliance.testing.grabber_rig", str(self._config_path), CAMERA]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)  # noqa: S603 (our own argv)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> tuple[int, str]:
        """SIGTERM; gives exit status and what it said on stderr."""
        assert self.process is not None
        self.process.terminate()
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the end; gives exit status and stderr."""
        assert self.process is not None
        _, said = self.process.communicate(timeout=PATIENCE_S)
        status = self.process.returncode
        self.process = None
        return status, said

    def _reap(self) -> None:
        if self.process is not None:
            self.process.communicate(timeout=PATIENCE_S)
            self.process = None

    # -- what it does

    def status(self) -> dict[str, Any]:
        """Give what the process last said of itself; empty before it said anything."""
        try:
            content: dict[str, Any] = json.loads(
                (self.config.runtime_dir / f"status.grab-{CAMERA}.json").read_text(encoding="utf-8")
            )
        except FileNotFoundError:
            return {}
        return content

    def triggers(self) -> list[Trigger]:
        """Give every announced trigger, in order."""
        announced = AnnouncedReader(self.config.runtime_dir, CAMERA)
        try:
            first, last = announced.reopen(), announced.last_id()
            if first is None or last is None:
                return []
            found = [announced.read(number) for number in range(first, last + 1)]
            return [trigger for trigger in found if trigger is not None]
        finally:
            announced.close()

    def reasons(self) -> list[Reason]:
        """Give the announced reasons, in order."""
        return [trigger.reason for trigger in self.triggers()]

    def inspect(self) -> None:
        """Be the inspector for a moment: take what waits, keep copies, give the frames back."""
        self.reader.connect()
        for lease in self.reader.receive():
            with lease:
                self.frames.append((lease.trigger, np.array(lease.pixels)))

    def wait_for(self, is_true: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
        """Inspect until something is true.

        Raises:
            TimeoutError: It never was.
        """
        deadline = time.monotonic() + patience_s
        while not is_true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {patience_s} s; status: {self.status()}")
            self.inspect()
            time.sleep(0.005)

    def wait_for_frames(self, count: int) -> None:
        """Inspect until so many more frames came."""
        goal = len(self.frames) + count
        self.wait_for(lambda: len(self.frames) >= goal)

    def control(self) -> SimcamControl:
        """Take the simulated camera in hand, also before its first start."""
        folder = simulator_dir(self.config.runtime_dir)
        folder.mkdir(exist_ok=True)
        return SimcamControl(state_path(folder, SERIAL))

    def close(self) -> None:
        """Leave nothing behind."""
        self.reader.close()
        if self.process is not None:
            self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def simulated(
    images: Path, *, line_hz: float = 50.0, features: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Describe a simulated camera as a source; triggered by its line unless features say otherwise."""
    announce = more.pop("announce", "auto")
    return {
        "kind": "genicam",
        "serial": SERIAL,
        "announce": announce,
        "simulator": {"images": str(images), "line_hz": line_hz, **more},
        "features": TRIGGERED if features is None else features,
    }


def _toml(folder: Path, source: dict[str, Any], slots: int) -> str:
    top = {"line": "rig", "station": "rig", "recipe": "none.toml", "models_dir": "none"}
    places = {"runtime_dir": str(folder / "run"), "state_dir": str(folder / "state")}
    plain = {key: value for key, value in source.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in source.items() if isinstance(value, dict)}
    text = _lines(top | places) + f'[[cameras]]\nname = "{CAMERA}"\n[cameras.ring]\nslots = {slots}\n'
    text += "[cameras.source]\n" + _lines(plain)
    return text + "".join(f"[cameras.source.{key}]\n" + _lines(value) for key, value in tables.items())


def _lines(values: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in values.items())


def main() -> int:
    """Be the grabber process."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = load(Path(sys.argv[1]))
    stage = Stage(f"grab-{sys.argv[2]}", config.runtime_dir)
    try:
        run_grabber(config, sys.argv[2], stage)
    except ApplianceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
