"""A model bundle: a folder with `model.onnx` and `model.toml`, verified before anything else touches it.

    models/<name>/
        model.toml            the contract: input, outputs, classes, thresholds, origin, metrics, sha256 of every file
        model.onnx            one file, no external data
        golden/*.png          real inputs
        golden/expected.json  what the model must find in them

Every file is read once; the hash is taken of the very bytes that are kept, so nobody can change a file
between check and use.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from appliance.config import ConfinedModel, explain, parse_toml
from appliance.errors import ConfigError, ModelError

MODEL_FILE = "model.onnx"
CONTRACT_FILE = "model.toml"
GOLDEN_FILE = "golden/expected.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[int, Field(ge=0)]


class ModelInput(ConfinedModel):
    """What the model reads: one named tensor, and how a frame is brought to its size."""

    name: str = Field(min_length=1)
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["uint8"]
    pixel_format: Literal["Mono8", "RGB8", "BGR8"]
    height: int = Field(ge=1, le=16384, description="px")
    width: int = Field(ge=1, le=16384, description="px")
    batch: int = Field(default=0, ge=0, le=1024, description="frames of every run; 0: any number")
    fit: Literal["letterbox", "letterbox_top_left", "stretch", "exact"]
    resize: Literal["linear", "area", "antialiased"] = "linear"
    pad_value: int = Field(default=114, ge=0, le=255, description="grey value beside a letterboxed frame")

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape of one frame in the tensor, without the batch axis."""
        channels = 1 if self.pixel_format == "Mono8" else 3
        if self.layout == "NCHW":
            return channels, self.height, self.width
        return self.height, self.width, channels

    @model_validator(mode="after")
    def _colours_as_cameras_send_them(self) -> Self:
        if self.pixel_format != "Mono8" and self.layout != "NHWC":
            raise ValueError(f"{self.pixel_format} frames are interleaved: layout must be NHWC, got {self.layout}")
        return self


class ModelOutput(ConfinedModel):
    """What the model writes. A free dimension is a name."""

    name: str = Field(min_length=1)
    shape: tuple[int | str, ...] = Field(min_length=1)
    dtype: Literal["float32"]


class Classes(ConfinedModel):
    """Class names in the order of the model's class ids."""

    names: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("class names must differ")
        return self


class Thresholds(ConfinedModel):
    """Where the model was measured; a recipe may choose otherwise, class by class."""

    score: Share
    nms_iou: Share
    score_method: str = Field(description="how `score` was chosen, and on which data")


class Source(ConfinedModel):
    """The file that an imported or quantised network was made from."""

    file: str
    sha256: Sha256
    bytes: Amount
    producer: str
    preprocessing: str = Field(description="what was folded into the graph, in words")
    made_by: str = Field(description="the command")


class Training(ConfinedModel):
    """How the model was trained."""

    data: str
    licence: str
    groups: dict[str, tuple[str, ...]] = Field(description="split name to the groups of parts in it")
    epochs: Amount
    seed: int
    minutes: float = Field(ge=0)
    machine: str
    command: str


class Metrics(ConfinedModel):
    """Figures of one split at `thresholds.score`, with the counts behind the rates."""

    groups: tuple[str, ...]
    map50: Share
    map50_95: Share
    ap50: dict[str, Share] = Field(description="class name to average precision at IoU 0.5")
    escapes: Amount
    ng_parts: Amount
    escape_rate: Share
    false_rejects: Amount
    ok_parts: Amount
    false_reject_rate: Share
    missed_defects: Amount
    defects: Amount


class GoldenDetection(ConfinedModel):
    """One detection that must come out again."""

    class_name: str
    score: Share
    box_px: tuple[float, float, float, float] = Field(description="x1 y1 x2 y2, px of the golden image")


class GoldenCase(ConfinedModel):
    """One golden image of the bundle and everything the model finds in it at `thresholds.score`."""

    file: str
    verdict: Literal["OK", "NG"]
    detections: tuple[GoldenDetection, ...]


class ModelBundle(ConfinedModel):
    """A verified bundle; the contents of its files are inside, the folder is no longer needed."""

    model_config = ConfigDict(protected_namespaces=())

    schema_version: Literal[2]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    task: Literal["detect", "anomaly"]
    family: str
    created_at: AwareDatetime
    opset: int = Field(ge=7)
    input: ModelInput
    outputs: tuple[ModelOutput, ...] = Field(min_length=1)
    decode: dict[str, Any] = Field(default={}, description="options of the family; the family checks them")
    classes: Classes
    thresholds: Thresholds
    source: Source | None = None
    training: Training | None = None
    quantisation: dict[str, Any] | None = Field(default=None, description="how INT8 was reached, with its figures")
    files: dict[str, Sha256]
    metrics: dict[str, Metrics] = Field(default={})
    _contents: MappingProxyType[str, bytes] = PrivateAttr(default_factory=lambda: MappingProxyType({}))
    _contract_sha256: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if MODEL_FILE not in self.files:
            raise ValueError(f"[files] must list {MODEL_FILE}")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the model's class ids."""
        return self.classes.names

    @property
    def sha256(self) -> str:
        """Hash of the network itself (model.onnx), as it appears in every record."""
        return self.files[MODEL_FILE]

    @property
    def contract_sha256(self) -> str:
        """Hash of model.toml, which holds the hash of every other file: the identity of the whole bundle."""
        return self._contract_sha256

    @property
    def onnx_bytes(self) -> bytes:
        """The network: exactly the bytes that were hashed."""
        return self._contents[MODEL_FILE]

    @property
    def contents(self) -> MappingProxyType[str, bytes]:
        """Every verified file of the bundle, by its path in it."""
        return self._contents

    def golden_cases(self) -> tuple[GoldenCase, ...]:
        """Return the golden images and what must be found in them; empty where the bundle has none.

        Raises:
            ModelError: golden/expected.json isn't of the known form, or names an image that isn't there.
        """
        raw = self._contents.get(GOLDEN_FILE)
        if raw is None:
            return ()
        try:
            cases = tuple(GoldenCase.model_validate(case) for case in json.loads(raw)["cases"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"model {self.name}: {GOLDEN_FILE} can't be used: {error!s:.200}") from error
        if strange := [case.file for case in cases if case.file not in self._contents]:
            raise ModelError(f"model {self.name}: {GOLDEN_FILE} names {strange}, which the bundle doesn't have")
        return cases


def load_bundle(folder: Path) -> ModelBundle:
    """Read and verify a bundle.

    Raises:
        ModelError: Folder, contract or a file is missing, a hash differs, a path leads outside the folder, or
            the folder holds a file that the contract doesn't list.
    """
    if not folder.is_dir():
        raise ModelError(f"model bundle {folder}: no such folder; expected one with {CONTRACT_FILE} and {MODEL_FILE}")
    contract = _read_contract(folder / CONTRACT_FILE)
    _refuse_unlisted(folder, set(contract.files))
    contract._contents = MappingProxyType(
        {name: _read_verified(folder, name, expected) for name, expected in contract.files.items()}
    )
    return contract


def _read_contract(path: Path) -> ModelBundle:
    content = _read_regular(path.parent, path.name)
    try:
        bundle = ModelBundle.model_validate(_timestamps_kept(parse_toml(content, path)))
    except ConfigError as error:
        raise ModelError(f"model bundle: {error}") from error
    except ValidationError as error:
        raise ModelError(f"model bundle: {explain(error, path)}") from error
    bundle._contract_sha256 = hashlib.sha256(content).hexdigest()
    return bundle


def _timestamps_kept(content: dict[str, Any]) -> dict[str, Any]:
    """Refuse a local time in `created_at` with pydantic's own words instead of a type error."""
    created_at = content.get("created_at")
    return {**content, "created_at": created_at.isoformat()} if isinstance(created_at, datetime) else content


def _refuse_unlisted(folder: Path, listed: set[str]) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if unlisted := sorted(found - listed - {CONTRACT_FILE}):
        raise ModelError(
            f"model bundle {folder}: {unlisted[0]} is not listed in [files] of {CONTRACT_FILE}"
            f"{f' (and {len(unlisted) - 1} more)' if len(unlisted) > 1 else ''}; remove it, or list it with its sha256"
        )


def _read_verified(folder: Path, name: str, expected: str) -> bytes:
    content = _read_regular(folder, name)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(
            f"model bundle {folder}: {name} differs from {CONTRACT_FILE}: expected sha256 {expected[:16]}…, got "
            f"{found[:16]}… ({len(content)} bytes); copy the bundle again from where it was made"
        )
    return content


def _read_regular(folder: Path, name: str) -> bytes:
    """Read a file inside the folder; no `..`, no absolute path, no symbolic link, no device."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or path.as_posix() != name:
        raise ModelError(f"model bundle {folder}: [files] names {name!r}; expected a plain path inside the bundle")
    target = folder.joinpath(*path.parts)
    for part in (target, *target.parents):
        if part == folder:
            break
        if part.is_symlink():
            raise ModelError(f"model bundle {folder}: {name} goes through a symbolic link; put the file itself there")
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ModelError(f"model bundle {folder}: {name} is missing; copy the bundle again, with all files") from None
    except OSError as error:
        raise ModelError(f"model bundle {folder}: {name} can't be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ModelError(f"model bundle {folder}: {name} is not a regular file")
        return file.read()
