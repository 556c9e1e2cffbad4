"""A model bundle: a folder with `model.onnx` and `model.toml`, verified before anything else touches it.

models/<name>/
    model.toml            the contract: input, outputs, classes, thresholds, origin, metrics, sha256 of every file
    model.onnx            one file, no external data
    golden/*.png          real inputs
    golden/expected.json  what the model must find in them
    model.sha256          hash of model.toml: no bit of the bundle may change unnoticed
    model.sig             optional: who vouches for model.toml, and so for all (signature.py)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from appliance.config import ConfinedModel, explain, parse_toml
from appliance.errors import ConfigError, ModelError

MODEL_FILE = "model.onnx"
CONTRACT_FILE = "model.toml"
SEAL_FILE = "model.sha256"
SIGNATURE_FILE = "model.sig"
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
    fit: Literal[
        "letterbox",
        "letterbox_gain",
        "letterbox_unrounded",
        "letterbox_top_left",
        "letterbox_floor",
        "stretch",
        "exact",
    ]
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


class CurveRow(ConfinedModel):
    """One epoch of a training run."""

    epoch: Amount
    loss: float
    val_map50: Share | None = Field(default=None, description="where this epoch was measured")


class Training(ConfinedModel):
    """How the model was trained."""

    data: str
    licence: str
    groups: dict[str, tuple[str, ...]] = Field(default={}, description="split name to the groups of parts in it")
    parts: dict[str, Amount] = Field(default={}, description="split name to its number of parts")
    network: str = Field(default="", description="by the name that `appliance train --network` takes")
    parameters: Amount = 0
    epochs: Amount
    best_epoch: Amount = Field(default=0, description="whose weights these are; 0: the last one's")
    seed: int
    minutes: float = Field(ge=0)
    machine: str
    command: str
    curve: tuple[CurveRow, ...] = Field(default=(), description="what each epoch came to")


class Metrics(ConfinedModel):
    """Figures of one split at `thresholds.score`, with the counts behind the rates."""

    groups: tuple[str, ...]
    map50: Share
    map50_95: Share
    ap50: dict[str, Share] = Field(description="class name to average precision at IoU 0.5")
    escapes: Amount
    ng_parts: Amount
    escape_rate: Share | None = Field(default=None, description="left out where there is no NG part to judge")
    false_rejects: Amount
    ok_parts: Amount
    false_reject_rate: Share | None = Field(default=None, description="left out where there is no OK part to judge")
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
    image_score: Share | None = Field(default=None, description="of the whole image; anomaly models only")


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
    _contract_bytes: bytes = PrivateAttr(default=b"")
    _signature_bytes: bytes | None = PrivateAttr(default=None)

    @classmethod
    def understand(cls, content: bytes, path: Path) -> ModelBundle:
        """Read the contract from the bytes of a model.toml; the files it lists come later, by `with_contents`.

        Args:
            path: Where the bytes are from; for errors.
        Raises:
            ModelError: Not TOML, unknown or missing key, impossible value.
        """
        try:
            bundle = cls.model_validate(_timestamps_kept(parse_toml(content, path)))
        except ConfigError as error:
            raise ModelError(f"model bundle: {error}") from error
        except ValidationError as error:
            raise ModelError(f"model bundle: {explain(error, path)}") from error
        bundle._contract_bytes = content
        return bundle

    def with_contents(self, contents: Mapping[str, bytes], signature: bytes | None = None) -> ModelBundle:
        """Take in the verified bytes of the files, and of model.sig where there is one."""
        self._contents = MappingProxyType(dict(contents))
        self._signature_bytes = signature
        return self

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
        return hashlib.sha256(self._contract_bytes).hexdigest()

    @property
    def contract_bytes(self) -> bytes:
        """Content of model.toml."""
        return self._contract_bytes

    @property
    def signature_bytes(self) -> bytes | None:
        """Content of model.sig; None where the bundle isn't signed."""
        return self._signature_bytes

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
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"model {self.name}: {GOLDEN_FILE} can't be used: {error!s:.200}") from error
        if strange := [case.file for case in cases if case.file not in self._contents]:
            raise ModelError(f"model {self.name}: {GOLDEN_FILE} names {strange}, which the bundle doesn't have")
        return cases


def _timestamps_kept(content: dict[str, Any]) -> dict[str, Any]:
    """Refuse a local time in `created_at` with pydantic's own words instead of a type error."""
    created_at = content.get("created_at")
    return {**content, "created_at": created_at.isoformat()} if isinstance(created_at, datetime) else content
