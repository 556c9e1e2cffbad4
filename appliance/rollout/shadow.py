"""The models that only watch, by recipe: `state_dir/shadow_models.json`, which exists while there is one.

Its existence starts the shadow process, on a desk as on the box (`systemd/appliance-shadow.path`); when it goes, the
process ends. No verdict depends on it, so nobody has to be asked.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from appliance.config import ConfinedModel
from appliance.errors import ConfigError
from appliance.rollout.choices import ChosenModel
from appliance.rollout.files import read_json, sync_directory, write_json


class ShadowChoice(ConfinedModel):
    """The model that watches the parts of one recipe."""

    model: ChosenModel
    since: AwareDatetime
    by: str


class _Shadows(ConfinedModel):
    schema_version: Literal[1] = 1
    recipes: dict[str, ShadowChoice]


def shadow_path(state_dir: Path) -> Path:
    """Where the file is, if it is."""
    return state_dir / "shadow_models.json"


def read_shadows(state_dir: Path) -> dict[str, ShadowChoice]:
    """Read the shadows by recipe.

    Raises:
        ConfigError: The file can't be read, or holds something else.
    """
    found = read_json(shadow_path(state_dir), _Shadows)
    return dict(found.recipes) if found is not None else {}


def write_shadows(state_dir: Path, shadows: Mapping[str, ShadowChoice]) -> None:
    """Write them durably; without any, the file goes.

    Raises:
        ConfigError: The directory can't be written.
    """
    path = shadow_path(state_dir)
    if shadows:
        write_json(path, _Shadows(recipes=dict(shadows)))
        return
    try:
        path.unlink(missing_ok=True)
        if state_dir.is_dir():
            sync_directory(state_dir)
    except OSError as error:
        raise ConfigError(f"{path}: can't be removed: {os.strerror(error.errno or 0)}; check its rights") from error
