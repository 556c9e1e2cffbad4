"""What a model's training pictures were like: `profile.json` in its bundle.

A bundle without one is as good as before: then the present is compared with last week only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from appliance.config import ConfinedModel, explain, parse_toml
from appliance.errors import ApplianceError, ModelError
from appliance.learning.drift.scale import Histogram, from_plain
from appliance.learning.drift.signals import SCALES

PROFILE_FILE = "profile.json"
_CONTRACT_FILE, _MODEL_FILE = "model.toml", "model.onnx"
Plain = dict[str, int]


class Profile(ConfinedModel):
    """Histograms over training pictures, on the scales of `signals.SCALES`.

    Attributes:
        score: Of good pictures: the highest score that the model gives anything in them; 0 where it finds nothing.
    """

    schema_version: Literal[1] = 1
    made_from: str = Field(description="the pictures, in words")
    pictures: int = Field(ge=1)
    good_pictures: int = Field(ge=0, description="those without a defect: their scores are in `score`")
    brightness: Plain
    saturation: Plain
    sharpness: Plain
    score: Plain = Field(default={})

    @field_validator(*SCALES)
    @classmethod
    def _is_a_histogram(cls, content: Plain) -> Plain:
        from_plain(content)
        return content

    def histogram(self, signal: str) -> Histogram:
        """Give one signal's histogram; empty where the pictures don't say."""
        return from_plain(getattr(self, signal))


def read_profile(folder: Path, network_sha256: str) -> Profile | None:
    """Read a bundle's profile beside the running model, without loading the network; None where it has none.

    Args:
        network_sha256: Of the network that judges: another one's profile would say nothing.
    Raises:
        ModelError: The bundle is damaged, or holds another network.
    """
    where = f"model bundle {folder}"
    try:
        files = parse_toml((folder / _CONTRACT_FILE).read_bytes(), folder / _CONTRACT_FILE)["files"]
        if files[_MODEL_FILE] != network_sha256:
            raise ModelError(f"{where}: holds another network than the one that judges; activate it, or restore it")
        if PROFILE_FILE not in files:
            return None
        content = (folder / PROFILE_FILE).read_bytes()
    except OSError as error:
        raise ModelError(f"{where}: can't be read: {error.strerror}; copy the bundle again") from error
    except (KeyError, TypeError, ApplianceError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{where}: {_CONTRACT_FILE} can't be used: {error!s:.200}") from error
    if hashlib.sha256(content).hexdigest() != files[PROFILE_FILE]:
        raise ModelError(f"{where}: {PROFILE_FILE} differs from {_CONTRACT_FILE}; copy the bundle again")
    return parse_profile(content, folder / PROFILE_FILE)


def parse_profile(content: bytes, path: Path) -> Profile:
    """Understand a profile.

    Raises:
        ModelError: It is something else; names the file.
    """
    try:
        return Profile.model_validate_json(content)
    except ValidationError as error:
        raise ModelError(f"model bundle: {explain(error, path)}; make it anew: appliance dataset profile") from error
