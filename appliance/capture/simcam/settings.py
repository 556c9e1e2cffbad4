"""Write the file that tells the producer which cameras exist; the environment's APPLIANCE_SIMCAM names it.

    [camera SIM-0001]
    pack = /var/cache/appliance/0123456789abcdef01234567.simpack
    state = /run/appliance/sim-0001.state
    line_hz = 20

settings.c reads it and refuses unknown keys.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from appliance.capture.simcam.pack import Pack, pack_images
from appliance.errors import ConfigError

ENVIRONMENT_NAME = "APPLIANCE_SIMCAM"
PIXEL_FORMATS = ("Mono8", "Mono16", "RGB8", "BayerRG8")

# Key in the file (and field below): (least, most); the same limits as in settings.c.
_LIMITS: dict[str, tuple[float, float]] = {
    "line_hz": (0, 10_000),
    "line_pulses": (0, 10**15),
    "encoder_steps_per_pulse": (1, 10**6),
    "exposure_time_us": (1, 10**7),
    "frame_rate_hz": (0.01, 10_000),
    "frame_rate_max_hz": (0.01, 10_000),
    "readout_ms": (0, 10_000),
    "transfer_ms": (0, 10_000),
    "clock_offset_ns": (0, 9 * 10**15),
    "drift_ppm": (-1000, 1000),
    "boot_ms": (0, 600_000),
}


@dataclass(frozen=True, kw_only=True)
class SimulatedCamera:
    """One camera as it is at power-on. All images of `images` have one size, which is the sensor's."""

    serial: str
    images: Path
    """Folder of images to replay, sorted by name."""
    state: Path
    """File for what outlives the grabber: line, features, faults, counters. Made when it isn't there."""
    model: str = "SimCam"
    pixel_format: str = "Mono8"
    line_hz: float = 0.0
    """Pulses on Line0, from the first acquisition on; 0: nothing is connected."""
    line_pulses: int = 0
    """The line stops after so many pulses; 0: never."""
    encoder_steps_per_pulse: int = 1
    exposure_time_us: float = 200.0
    """At power-on, and the one at which (with Gain 0) pixels equal the images'."""
    frame_rate_hz: float = 20.0
    frame_rate_max_hz: float = 500.0
    readout_ms: float = 0.2
    """After the exposure; a trigger during exposure or readout is skipped."""
    transfer_ms: float = 0.2
    """From the end of readout to the new-buffer event."""
    clock_offset_ns: int = 0
    """What the device's clock shows at power-on."""
    drift_ppm: float = 0.0
    """How much faster than the host's the device's clock runs."""
    boot_ms: float = 300.0
    """How long DeviceReset takes the camera away."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.serial) < 64 or any(character in "[]#=\n\r" for character in self.serial):
            raise ConfigError(f"serial {self.serial!r}: expected 1 to 63 characters without [ ] # = or line ends")
        if not 1 <= len(self.model.strip()) < 64 or "\n" in self.model:
            raise ConfigError(f"camera {self.serial}: model expects 1 to 63 characters, got {self.model!r}")
        if self.pixel_format not in PIXEL_FORMATS:
            raise ConfigError(
                f"camera {self.serial}: pixel_format expects one of {', '.join(PIXEL_FORMATS)}, "
                f"got {self.pixel_format!r}"
            )
        for key, (least, most) in _LIMITS.items():
            value = getattr(self, key)
            if not (math.isfinite(value) and least <= value <= most):
                raise ConfigError(f"camera {self.serial}: {key} expects {least:g} to {most:g}, got {value!r}")
        if self.frame_rate_hz > self.frame_rate_max_hz:
            raise ConfigError(
                f"camera {self.serial}: frame_rate_hz {self.frame_rate_hz:g} is above "
                f"frame_rate_max_hz {self.frame_rate_max_hz:g}"
            )


def write(path: Path, cameras: Sequence[SimulatedCamera], cache_dir: Path | None = None) -> list[Pack]:
    """Pack the cameras' images where needed and write the settings file in one step.

    Args:
        path: The file to name in APPLIANCE_SIMCAM.
        cameras: In the order the producer lists them; serial numbers and state files must differ.
        cache_dir: Where packs go; default: the folder of `path`. Packs are found again by their content.
    Returns:
        The pack of each camera, for looking up which image a pulse showed.
    Raises:
        ConfigError: A folder can't be packed, or two cameras share a serial number or state file.
    """
    for name, values in (
        ("serial number", [camera.serial for camera in cameras]),
        ("state file", [str(camera.state.absolute()) for camera in cameras]),
    ):
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise ConfigError(f"simulated cameras share a {name}: {', '.join(sorted(twice))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    packs = [pack_images(camera.images, cache_dir or path.parent) for camera in cameras]
    text = "# Simulated cameras, for the environment variable APPLIANCE_SIMCAM.\n"
    text += "".join(_section(camera, pack) for camera, pack in zip(cameras, packs, strict=True))
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)
    return packs


def _section(camera: SimulatedCamera, pack: Pack) -> str:
    camera.state.absolute().parent.mkdir(parents=True, exist_ok=True)
    lines = [f"\n[camera {camera.serial}]", f"pack = {pack.path.absolute()}", f"state = {camera.state.absolute()}"]
    keys = [field.name for field in fields(camera) if field.name not in {"serial", "images", "state"}]
    lines += [f"{key} = {getattr(camera, key)}" for key in keys]
    return "\n".join(lines) + "\n"
