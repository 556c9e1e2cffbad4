"""Which bundle a command means by a model's name."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.box.whereabouts import find_config
from appliance.config import load
from appliance.errors import ModelError, NotRunning
from appliance.modelling.bundle import CONTRACT_FILE

DESK_MODELS = Path("models")

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or the path of a bundle.")]
ModelsDirOption = Annotated[
    Path | None,
    typer.Option("--models-dir", help="Folder of the bundles; default: the configuration's models_dir, else ./models."),
]


def find_models_dir(given: Path | None = None, config: Path | None = None) -> Path:
    """Choose the folder of bundles: the given one; else the configuration's; else `./models`."""
    if given is not None:
        return given
    try:
        return load(find_config(config)).models_dir
    except NotRunning:  # a desk without an appliance
        return DESK_MODELS


def find_bundle(name: str, models_dir: Path | None = None, config: Path | None = None) -> Path:
    """Find a bundle's folder by the model's name; the path of a bundle is taken as it is.

    Raises:
        ModelError: There is no such bundle; says which there are.
    """
    if "/" in name and (Path(name) / CONTRACT_FILE).is_file():
        return Path(name)
    folder = find_models_dir(models_dir, config)
    if "/" not in name and (folder / name / CONTRACT_FILE).is_file():
        return folder / name
    there = sorted(path.parent.name for path in folder.glob(f"*/{CONTRACT_FILE}"))
    raise ModelError(f"model {name!r}: no such bundle in {folder}; there: {', '.join(there) or 'none'}")
