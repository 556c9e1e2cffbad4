"""Gives a simulated camera its power: builds the producer, packs the pictures, tells it where they are."""

import os
from pathlib import Path

from appliance.capture.simcam import build, settings
from appliance.config import SimulatorConfig


def simulator_dir(runtime_dir: Path) -> Path:
    """Where simulated cameras keep settings, pictures and state; outlives the grabber, as a line does."""
    return runtime_dir / "simcam"


def state_path(simulator_dir: Path, serial: str) -> Path:
    """Where a simulated camera keeps what outlives the grabber: line, counters, faults on command."""
    return simulator_dir / f"{serial}.state"


def prepare_simulator(serial: str, config: SimulatorConfig, simulator_dir: Path) -> Path:
    """Make a simulated camera ready to be found, and give its producer.

    The producer reads APPLIANCE_SIMCAM when it is loaded: call this before. A line that runs already runs on.

    Raises:
        ConfigError: The pictures can't be used.
        ToolMissing: No C compiler.
    """
    producer = build.build()
    camera = settings.SimulatedCamera(
        serial=serial,
        images=config.images,
        state=state_path(simulator_dir, serial),
        line_hz=config.line_hz,
        transfer_ms=config.transfer_ms,
        drift_ppm=config.clock_drift_ppm,
    )
    path = simulator_dir / f"{serial}.cameras"
    settings.write(path, [camera], cache_dir=simulator_dir)
    os.environ[settings.ENVIRONMENT_NAME] = str(path)
    return producer
