"""An appliance of a benchmark's own: any of the real processes, its files in temporary folders."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.box.bench.toml_text import write_toml
from appliance.box.process_table import process_table
from appliance.box.supervisor import Supervisor
from appliance.config import ApplianceConfig, Recipe
from appliance.errors import StageFailed

_PATIENCE_S = 30.0


@dataclass(frozen=True)
class OwnAppliance:
    """A configuration whose directories and endpoints nobody else uses."""

    config: ApplianceConfig
    config_path: Path

    @contextmanager
    def running(self, *names: str) -> Iterator[Supervisor]:
        """Run some of its processes, from the moment that all are up.

        Raises:
            StageFailed: They don't come up.
        """
        table = [spec for spec in process_table(self.config, self.config_path, os.getpid()) if spec.name in names]
        with Supervisor(
            table, self.config.runtime_dir, config_path=self.config_path, environment=os.environ, show=_ignore
        ) as supervisor:
            supervisor.start()
            give_up_at = time.monotonic() + _PATIENCE_S
            while not supervisor.is_up:
                supervisor.step()
                time.sleep(0.01)
                if time.monotonic() > give_up_at:
                    raise StageFailed(f"{', '.join(names)}: not up within {_PATIENCE_S:g} s; try: appliance doctor")
            yield supervisor


@contextmanager
def own_appliance(config: ApplianceConfig, recipe: Recipe, state_dir: Path) -> Iterator[OwnAppliance]:
    """Derive an appliance with its state on the disk of `state_dir`, the rest where runtime files go; then remove both.

    Args:
        state_dir: Its nearest existing parent gets a temporary folder.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=nearest_directory(state_dir)) as state,
        tempfile.TemporaryDirectory(prefix="bench-", dir=nearest_directory(config.runtime_dir)) as runtime,
    ):
        folder = Path(runtime)
        delivery = {"verdict_endpoint": f"ipc://{folder}/verdicts", "control_endpoint": f"ipc://{folder}/control"}
        recorder = {
            "result_endpoint": f"ipc://{folder}/results",
            "replay_endpoint": f"ipc://{folder}/replay",
            "required_consumers": (),
        }
        own = config.model_copy(
            update={
                "delivery": config.delivery.model_copy(update=delivery),
                "recorder": config.recorder.model_copy(update=recorder),
                "recipe": folder / "recipe.toml",
                "recipes": (),
                "runtime_dir": folder / "run",
                "state_dir": Path(state),
            }
        )
        write_toml(folder / "config.toml", own)
        write_toml(own.recipe, recipe)
        yield OwnAppliance(own, folder / "config.toml")


def nearest_directory(path: Path) -> Path:
    """Give the path itself, or the nearest parent that exists."""
    return next(parent for parent in (path, *path.parents) if parent.is_dir())


def _ignore(process: str, line: str) -> None:
    """Processes print nothing worth showing while a benchmark runs; their errors come as StageFailed."""
