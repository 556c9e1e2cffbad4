"""Which models folder a command means, and which bundle in it."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption
from appliance.config import load
from appliance.errors import ModelError, NotRunning
from appliance.modelling import ModelBundle, load_bundle
from appliance.modelling.bundle import CONTRACT_FILE

__all__ = [
    "ConfigOption",
    "ModelArgument",
    "ModelsDirOption",
    "bundle_folder",
    "bundle_folders",
    "models_folder",
    "open_bundle",
]

ModelsDirOption = Annotated[
    Path | None,
    typer.Option("--models-dir", help="Folder of the models; default: the configuration's, else ./models."),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or a path to its folder.")]


def models_folder(models_dir: Path | None, config: Path | None) -> Path:
    """Choose the models folder: the given one; else the configuration's; else ./models where there is none."""
    if models_dir is not None:
        return models_dir
    try:
        return load(find_config(config)).models_dir
    except NotRunning:
        return Path("models")


def bundle_folder(model: str, models_dir: Path | None, config: Path | None) -> Path:
    """Find a model's folder by its name in the models folder, or by a path with a slash or a dot in it.

    Raises:
        ModelError: There is no such folder; the message lists the models that are there.
    """
    if ("/" in model or model in (".", "..")) and (Path(model) / CONTRACT_FILE).is_file():
        return Path(model)
    folder = models_folder(models_dir, config)
    if "/" not in model and (folder / model / CONTRACT_FILE).is_file():
        return folder / model
    there = ", ".join(path.name for path in bundle_folders(folder)) or "none"
    raise ModelError(f"model {model}: not in {folder.resolve()}; there: {there}; give a name, a path, or --models-dir")


def bundle_folders(folder: Path) -> list[Path]:
    """All folders with a contract, by name; unfinished imports aside."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and (path / CONTRACT_FILE).is_file()
    )


def open_bundle(model: str, models_dir: Path | None, config: Path | None) -> ModelBundle:
    """Find and verify a bundle.

    Raises:
        ModelError: There is none, or it isn't whole.
    """
    return load_bundle(bundle_folder(model, models_dir, config))
