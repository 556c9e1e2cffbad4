"""The training environments: PyTorch never gets onto the box, nor libreyolo's opencv-python beside the headless one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import appliance
from appliance.errors import ToolMissing
from appliance.learning.training_run.networks import Backend

ROOT = Path(appliance.__file__).parents[1]
"""The checkout: the child imports the appliance from here, and the environments are made here."""


@dataclass(frozen=True)
class Environment:
    """One of them.

    Attributes:
        folder: In the checkout. target: Makes it. module: What the child runs.
    """

    folder: str
    target: str
    module: str

    @property
    def python(self) -> Path:
        """Its interpreter, whether it is there or not."""
        return ROOT / self.folder / "bin" / "python"


ENVIRONMENTS: dict[Backend, Environment] = {
    "appliance": Environment(".venv-train", "make train-env", "appliance.learning.training"),
    "libreyolo": Environment(
        ".venv-libreyolo", "make train-env BACKEND=libreyolo", "appliance.learning.libreyolo_training"
    ),
}


def child_command(backend: Backend, plan: Path, python: Path | None = None) -> list[str]:
    """Return the command line of a backend's training child.

    Args:
        python: An interpreter in place of the environment's own.
    Raises:
        ToolMissing: There is no such environment; names the command that makes it.
    """
    environment = ENVIRONMENTS[backend]
    chosen = (python or environment.python).absolute()
    if not os.access(chosen, os.X_OK):
        raise ToolMissing(f"no training environment: {chosen} is missing; `{environment.target}` makes it")
    return [str(chosen), "-m", environment.module, "--plan", str(plan)]
