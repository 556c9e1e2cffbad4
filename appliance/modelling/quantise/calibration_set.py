"""A calibration set: a manifest that names the images an INT8 model's ranges come from, by hash.

calibration/int8/<name>.toml     name, version, source, licence, how the images were chosen, sha256 of every file
calibration/int8/<name>/…        the images, if the manifest brings them along; else they lie in a folder that is given
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel, read_toml
from appliance.config.toml import validate
from appliance.errors import ConfigError
from appliance.modelling.bundle import ModelInput, Sha256
from appliance.modelling.image_file import decode_image
from appliance.modelling.pixels import Pixels, to_pixel_format
from appliance.modelling.placement import fit

SUFFIX = ".toml"


class Manifest(ConfinedModel):
    """The content of a manifest."""

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    version: int = Field(ge=1, description="counts up when the images change")
    source: str = Field(min_length=1, description="where the images come from")
    licence: str = Field(min_length=1)
    chosen: str = Field(min_length=1, description="how the images were chosen")
    files: Annotated[dict[str, Sha256], Field(min_length=1)]


@dataclass(frozen=True)
class CalibrationSet:
    """A manifest with its images read and verified.

    Attributes:
        manifest: What it says.
        sha256: Hash of the manifest file: it names the set in what was made with it.
        images: Decoded images with their PFNC pixel format, in the manifest's order.
    """

    manifest: Manifest
    sha256: str
    images: tuple[tuple[Pixels, str], ...]

    def frames(self, model_input: ModelInput) -> list[NDArray[np.uint8]]:
        """Return each image as the model gets it on the line: pixel format, size and layout of its input."""
        fitted = (
            fit(to_pixel_format(pixels, pixel_format, model_input.pixel_format), model_input)[0]
            for pixels, pixel_format in self.images
        )
        return [np.ascontiguousarray(pixels.reshape(model_input.frame_shape)) for pixels in fitted]


def read_calibration_set(path: Path, data: Path | None = None) -> CalibrationSet:
    """Read a manifest and its images, and hold every image against its hash.

    Args:
        path: The manifest, with or without `.toml`.
        data: Folder that the files' names are relative to; default: the folder beside the manifest that has its name.
    Raises:
        ConfigError: Manifest broken, or a file missing, changed, or no image.
    """
    file = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if not file.is_file():
        raise ConfigError(
            f"calibration set {file}: no such manifest; `appliance model calibration-set FOLDER --out {file}` makes one"
        )
    manifest = validate(Manifest, read_toml(file), file)
    folder = data or file.with_suffix("")
    if not folder.is_dir():
        raise ConfigError(
            f"calibration set {file}: its images' folder {folder} is missing; give the folder that the "
            f"{len(manifest.files)} files are in: --data DIR"
        )
    images = tuple(_read(file, folder, name, sha256) for name, sha256 in manifest.files.items())
    return CalibrationSet(manifest, hashlib.sha256(file.read_bytes()).hexdigest(), images)


def _read(manifest: Path, folder: Path, name: str, sha256: str) -> tuple[Pixels, str]:
    where = f"calibration set {manifest}: {name}"
    plain = PurePosixPath(name)
    if plain.is_absolute() or ".." in plain.parts or not plain.parts:
        raise ConfigError(f"{where}: expected a plain path inside {folder}")
    try:
        content = folder.joinpath(*plain.parts).read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: can't be read in {folder}: {error.strerror}; is --data right?") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ConfigError(
            f"{where} differs from the manifest: expected sha256 {sha256[:16]}…, got {found[:16]}… "
            f"({len(content)} bytes); fetch the set again, or make a new version of the manifest"
        )
    decoded = decode_image(content)
    if decoded is None:
        raise ConfigError(f"{where}: expected an image of 8 or 16 bits, got something that can't be decoded")
    return decoded


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; strings are JSON's, which TOML understands."""
    content = manifest.model_dump(mode="json")
    files = content.pop("files")
    lines = [f"{key} = {json.dumps(value)}" for key, value in content.items()]
    lines += ["", "[files]", *(f"{json.dumps(name)} = {json.dumps(sha256)}" for name, sha256 in files.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
