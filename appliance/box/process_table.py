"""The whole appliance as one table of processes.

    name          command                  stops   because
    publish       stage publish            third   decides what is open; the line hears its last words
    record        stage record             last    journals those last words
    inspect       stage inspect            second  judges the frames still lent to it
    grab-<cam>    stage grab <cam>         first   no new triggers, so that the others can finish
    shadow        stage shadow             first   only while a shadow model is set; no verdict depends on it
    drift         stage drift              first   unless [drift] is off; reads the journal, and nobody waits for it
    modbus        stage modbus             third   only with [modbus] enabled; its PLCs hear the last words too
    health        stage health             last    only with [health] enabled; tells monitoring till the end

On the box systemd supervises the same commands (`systemd/`); on a desk `box.supervisor` does.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.config import ApplianceConfig
from appliance.rollout import shadow_path


@dataclass(frozen=True)
class ProcessSpec:
    """One process.

    Attributes:
        name: Unique; also names its status file.
        argv: Full command line.
        stop_rank: Processes stop in ascending order; equal ranks stop together.
        watchdog_s: A process that doesn't report a completed loop iteration for so long is killed and restarted.
        only_while: It runs only while this file exists, ends by itself when it goes, and nobody waits for it.
        is_optional: Nobody waits for it: neither verdicts nor records nor the start, and it may be down.
    """

    name: str
    argv: tuple[str, ...]
    stop_rank: int
    watchdog_s: float = 5.0
    only_while: Path | None = None
    is_optional: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether it should run now."""
        return self.only_while is None or self.only_while.exists()


def process_table(
    config: ApplianceConfig, config_path: Path, supervisor_pid: int, options: tuple[str, ...] = ()
) -> tuple[ProcessSpec, ...]:
    """Derive the processes from the configuration, in starting order; they end when the supervisor does.

    Args:
        options: More command line options for every process, e.g. "--verbose".
    """
    common = ("--config", str(config_path.resolve()), "--supervisor-pid", str(supervisor_pid), *options)

    def stage(*words: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "appliance", "stage", *words, *common)

    return (
        ProcessSpec("publish", stage("publish"), stop_rank=2),
        ProcessSpec("record", stage("record"), stop_rank=3),
        ProcessSpec("inspect", stage("inspect"), stop_rank=1),
        *(ProcessSpec(f"grab-{camera.name}", stage("grab", camera.name), stop_rank=0) for camera in config.cameras),
        ProcessSpec(
            "shadow",
            stage("shadow"),
            stop_rank=0,
            watchdog_s=15.0,
            only_while=shadow_path(config.state_dir),
            is_optional=True,
        ),
        *(
            (ProcessSpec("drift", stage("drift"), stop_rank=0, watchdog_s=30.0, is_optional=True),)
            if config.drift.enabled
            else ()
        ),
        *((ProcessSpec("modbus", stage("modbus"), stop_rank=2),) if config.modbus.enabled else ()),
        *((ProcessSpec("health", stage("health"), stop_rank=3),) if config.health.enabled else ()),
    )
