"""Bundles that differ in their names alone: to switch between models that find the same."""

import shutil
from pathlib import Path

from appliance.modelling import ModelBundle, load_bundle
from appliance.modelling.bundle_files import write_seal
from appliance.testing.whole_appliance import REPOSITORY

SHIPPED = "deeppcb-nano"


def copy_bundle(models_dir: Path, name: str, source: Path | None = None) -> ModelBundle:
    """Copy a bundle (default: the shipped one) to `models_dir/name`, renamed and sealed."""
    source = source or REPOSITORY / "models" / SHIPPED
    folder = models_dir / name
    shutil.copytree(source, folder)
    contract = folder / "model.toml"
    contract.write_text(contract.read_text().replace(f'name = "{source.name}"', f'name = "{name}"', 1))
    write_seal(folder)
    return load_bundle(folder)
