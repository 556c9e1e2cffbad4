"""`appliance stage …`: one process of the appliance, as systemd or `appliance run` starts it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from appliance.config import ApplianceConfig, load
from appliance.errors import ExitCode
from appliance.stage import Stage, die_with_parent

# Each command imports its process when it runs: the publisher must stay small, and never loads ONNX Runtime.

app = typer.Typer(help="Run one process of the appliance in the foreground.", no_args_is_help=True)

_Config = Annotated[Path, typer.Option("--config", help="Configuration file.")]
_SupervisorPid = Annotated[
    int | None, typer.Option("--supervisor-pid", hidden=True, help="End when this parent process ends.")
]


@app.command()
def grab(
    camera: Annotated[str, typer.Argument(help="Camera name from the configuration.")],
    config: _Config,
    supervisor_pid: _SupervisorPid = None,
) -> None:
    """Take frames from one camera into its ring, announce every trigger."""
    _tie_to(supervisor_pid)
    from appliance.capture.grabber import run_grabber  # noqa: PLC0415 (see above)

    settings = load(config)
    settings.camera(camera)  # a wrong name makes no directory
    _live(f"grab-{camera}", settings, lambda stage: run_grabber(settings, camera, stage))


@app.command()
def inspect(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Inspect the frames of all cameras."""
    _tie_to(supervisor_pid)
    from appliance.inspection.inspector import run_inspector  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("inspect", settings, lambda stage: run_inspector(settings, stage))


@app.command()
def publish(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Keep the ledger and speak on the verdict lane."""
    _tie_to(supervisor_pid)
    from appliance.delivery.publisher import run_publisher  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("publish", settings, lambda stage: run_publisher(settings, stage))


@app.command()
def modbus(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Show the line handshake to PLCs over Modbus TCP, take their commands."""
    _tie_to(supervisor_pid)
    from appliance.gateway.gateway import run_gateway  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("modbus", settings, lambda stage: run_gateway(settings, stage))


@app.command()
def record(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Keep records and images, send results, answer replay."""
    _tie_to(supervisor_pid)
    from appliance.records.recorder import run_recorder  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("record", settings, lambda stage: run_recorder(settings, stage))


@app.command()
def shadow(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Let a second model look at the same frames; no verdict depends on it. Ends when no shadow is set."""
    _tie_to(supervisor_pid)
    from appliance.inspection.shadow import run_shadow  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("shadow", settings, lambda stage: run_shadow(settings, stage))


@app.command()
def health(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Tell monitoring how the appliance is, over HTTP: /healthz, /readyz, /metrics."""
    _tie_to(supervisor_pid)
    from appliance.box.health import run_health  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("health", settings, lambda stage: run_health(settings, stage))


@app.command()
def drift(config: _Config, supervisor_pid: _SupervisorPid = None) -> None:
    """Compare the newest parts with the training pictures and with last week; no verdict depends on it."""
    _tie_to(supervisor_pid)
    from appliance.learning.drift.watcher import run_drift  # noqa: PLC0415 (see above)

    settings = load(config)
    _live("drift", settings, lambda stage: run_drift(settings, stage))


def _tie_to(supervisor_pid: int | None) -> None:
    if supervisor_pid is None:
        return
    die_with_parent()
    if os.getppid() != supervisor_pid:  # it ended before we asked the kernel
        sys.exit(ExitCode.INTERRUPTED)


def _live(name: str, config: ApplianceConfig, work: Callable[[Stage], None]) -> None:
    stage = Stage(name, config.runtime_dir)
    stage.install_signal_handlers()
    try:
        work(stage)
    finally:
        stage.stopped()
