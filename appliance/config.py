"""The configuration: one TOML file, frozen models, unknown keys refused. The only reader of TOML and environment."""

import hashlib
import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from appliance.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
"""A name that is also safe as a file name and as a part of a ZeroMQ topic."""

FeatureValue = bool | int | float | str

_Model = TypeVar("_Model", bound=BaseModel)


class ConfinedModel(BaseModel):
    """Frozen data; a key that isn't a field is an error, not a typo that waits."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatorConfig(ConfinedModel):
    """A camera of the project's own GenTL producer, replaying a folder of images."""

    images: Path = Field(description="folder of equally sized images, replayed in order of name")
    line_hz: float = Field(default=0.0, ge=0, le=10_000, description="rate of the simulated trigger line; 0: none")
    transfer_ms: float = Field(default=0.2, ge=0, le=10_000, description="readout and transfer time of a frame")
    clock_drift_ppm: float = Field(default=0.0, ge=-1000, le=1000, description="drift of the camera's clock")


class GenicamSource(ConfinedModel):
    """A GenICam camera behind any GenTL producer."""

    kind: Literal["genicam"]
    serial: str = Field(min_length=1, description="DeviceSerialNumber of the camera")
    producer: Path | None = Field(default=None, description="GenTL producer (.cti); none with [simulator]")
    simulator: SimulatorConfig | None = None
    features: dict[str, FeatureValue] = Field(default={}, description="SFNC features to apply, by name")
    announce: Literal["auto", "ring", "producer"] = Field(
        default="auto",
        description="who owns the frame memory: the ring (zero copy), the producer (one copy), or try in this order",
    )
    transfer_ms: float = Field(
        default=5.0, ge=0, le=10_000, description="worst time from exposure to receipt, where the clock can't be mapped"
    )

    @model_validator(mode="after")
    def _one_producer(self) -> Self:
        if (self.producer is None) == (self.simulator is None):
            raise ValueError("give either producer = '….cti' or a [cameras.source.simulator] section")
        return self


class FolderSource(ConfinedModel):
    """Image files replayed without GenTL, free-running."""

    kind: Literal["folder"]
    images: Path = Field(description="folder of equally sized images, replayed in order of name")
    frame_rate_hz: float = Field(default=10.0, gt=0, le=10_000)
    loop: bool = Field(default=True, description="start over after the last image; else the source ends")


class RingConfig(ConfinedModel):
    """The shared-memory ring between grabber and readers."""

    slots: int = Field(default=32, ge=4, le=128)
    overflow: Literal["drop_newest", "drop_oldest"] = Field(
        default="drop_newest",
        description="what is lost when the inspector is at its quota: the new frame, or the oldest not yet lent",
    )
    lease_quota: int | None = Field(
        default=None,
        ge=1,
        le=126,
        description="most frames lent to the inspector at once; default: all but two, with drop_oldest half",
    )

    @property
    def effective_lease_quota(self) -> int:
        """The quota, chosen where it isn't given: frames must be able to wait for drop_oldest to mean anything."""
        if self.lease_quota is not None:
            return self.lease_quota
        return self.slots // 2 if self.overflow == "drop_oldest" else self.slots


class CameraConfig(ConfinedModel):
    """One camera and its ring."""

    name: Name
    source: Annotated[GenicamSource | FolderSource, Field(discriminator="kind")]
    ring: RingConfig = RingConfig()

    @property
    def replayed_folder(self) -> Path | None:
        """Folder of the images that this camera replays; None for a real camera."""
        if isinstance(self.source, FolderSource):
            return self.source.images
        return self.source.simulator.images if self.source.simulator is not None else None


class InspectorConfig(ConfinedModel):
    """The inspector process."""

    execution_provider: Literal["CPUExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider"] = (
        "CPUExecutionProvider"
    )
    intra_op_num_threads: int | None = Field(
        default=None, ge=1, le=256, description="threads of ONNX Runtime; default: all cores but one"
    )
    max_batch: int = Field(default=4, ge=1, le=64)
    max_wait_ms: float = Field(default=4.0, ge=0, le=10_000, description="longest wait for a batch to fill")


class DeliveryConfig(ConfinedModel):
    """The publisher process. An endpoint that other machines can reach needs keys (`appliance keys init`)."""

    verdict_endpoint: str = Field(
        default="tcp://127.0.0.1:5571", description="ZeroMQ endpoint that the verdict lane binds"
    )
    control_endpoint: str = Field(
        default="tcp://127.0.0.1:5572", description="ZeroMQ endpoint for requests: part.set, recipe.select, line.…"
    )
    send_margin_ms: float = Field(
        default=10.0, ge=0, le=10_000, description="a verdict is handed to ZeroMQ this long before its deadline"
    )
    spool_max_mb: int = Field(
        default=256, ge=1, le=65_536, description="most memory for records that the recorder has not journalled yet"
    )
    count_tolerance_ms: float = Field(
        default=1000.0, gt=0, le=60_000, description="longest wait for our trigger count to agree with the controller's"
    )


class RecorderConfig(ConfinedModel):
    """The recorder process: journal, images, result lane, retention."""

    result_endpoint: str = Field(
        default="tcp://127.0.0.1:5573", description="ZeroMQ endpoint that the result lane binds"
    )
    replay_endpoint: str = Field(
        default="tcp://127.0.0.1:5574", description="ZeroMQ endpoint for replay and acknowledgements"
    )
    required_consumers: tuple[Name, ...] = Field(
        default=(), description="consumers whose acknowledgement a record waits for before retention may take it"
    )
    group_rows: int = Field(default=16, ge=1, le=1024, description="rows that one durable commit waits for")
    group_ms: float = Field(default=5.0, ge=0, le=1000, description="longest wait for such a group to fill")
    partition_minutes: int = Field(default=60, ge=1, le=1440, description="time span of one journal file")
    image_format: Literal["png", "raw"] = Field(
        default="png", description="lossless both: PNG, or uncompressed PGM/PPM"
    )
    thumbnail_px: int = Field(default=320, ge=64, le=2048, description="longer side of the annotated thumbnail")
    image_queue_mb: int = Field(
        default=64, ge=1, le=65_536, description="pixels that may wait for their encoding; beyond it images are skipped"
    )
    warn_free_mb: int = Field(default=2048, ge=1, description="free disk space below which status and log warn")
    evict_free_mb: int = Field(default=1024, ge=1, description="free disk space below which old data is evicted")
    stop_free_mb: int = Field(default=128, ge=1, description="free disk space below which nothing is written any more")

    @model_validator(mode="after")
    def _levels_descend(self) -> Self:
        if not self.warn_free_mb > self.evict_free_mb > self.stop_free_mb:
            levels = (self.warn_free_mb, self.evict_free_mb, self.stop_free_mb)
            raise ValueError(f"warn_free_mb, evict_free_mb, stop_free_mb must descend, got {levels}")
        return self


class ModbusConfig(ConfinedModel):
    """The Modbus TCP gateway for PLCs; Modbus knows no security."""

    enabled: bool = False
    host: str = Field(default="127.0.0.1", description="IP address to listen on")
    port: int = Field(default=5020, ge=1, le=65_535)
    allow_remote: bool = Field(default=False, description="permits a host that other machines can reach")
    allow_remote_writes: bool = Field(default=False, description="other machines may also give commands")
    show_simulated: bool = Field(default=False, description="show simulated results in place of the line's real ones")
    max_connections: int = Field(default=8, ge=1, le=256, description="masters at a time; further ones are hung up on")
    idle_timeout_s: float = Field(default=60.0, ge=1, le=86_400, description="a master silent so long is hung up on")

    @model_validator(mode="after")
    def _remote_on_purpose(self) -> Self:
        try:
            is_loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError("host must be an IP address, e.g. 127.0.0.1") from None
        if not is_loopback and not self.allow_remote:
            raise ValueError(
                f"Modbus has no keys: host {self.host} lets every machine in; use 127.0.0.1, or set allow_remote = true"
            )
        return self


class ApplianceConfig(ConfinedModel):
    """The whole appliance; paths are absolute after `load`."""

    line: Name
    station: Name
    recipe: Path
    recipes: tuple[Path, ...] = Field(default=(), description="further recipes that `recipe.select` may name")
    models_dir: Path
    cameras: tuple[CameraConfig, ...] = Field(min_length=1, max_length=16)
    inspector: InspectorConfig = InspectorConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    recorder: RecorderConfig = RecorderConfig()
    modbus: ModbusConfig = ModbusConfig()
    keys_dir: Path | None = Field(default=None, description="server key and clients' keys; default: state_dir/keys")
    runtime_dir: Path = Field(default_factory=lambda: default_directory("runtime"))
    state_dir: Path = Field(default_factory=lambda: default_directory("state"))

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise ValueError(f"camera names must differ, got {names}")
        return self

    @property
    def effective_keys_dir(self) -> Path:
        """Where keys are, chosen where it isn't given."""
        return self.keys_dir if self.keys_dir is not None else self.state_dir / "keys"

    def camera(self, name: str) -> CameraConfig:
        """Find a camera by name.

        Raises:
            ConfigError: No camera has this name.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        known = ", ".join(camera.name for camera in self.cameras)
        raise ConfigError(f"no camera named '{name}' in the configuration; it has: {known}")


class ClassRule(ConfinedModel):
    """When a detection of one class counts as a defect."""

    score: float = Field(gt=0, lt=1, description="detections at or above it count")
    min_size_px: float = Field(default=0.0, ge=0, description="shorter box side must reach it")
    min_count: int = Field(default=1, ge=1, description="so many detections make the part NG")
    defect_code: str | None = Field(default=None, description="the MES's code for this class")


class EvidenceLimits(ConfinedModel):
    """What an image must show before OK may be said; measured on a subsample of rows."""

    mean_grey_min: float = Field(ge=0, le=255)
    mean_grey_max: float = Field(ge=0, le=255)
    saturated_fraction_max: float = Field(default=1.0, ge=0, le=1, description="pixels at 255")
    sharpness_min: float = Field(ge=0, description="mean absolute grey difference of horizontal neighbours")
    dead_row_fraction_max: float = Field(default=1.0, ge=0, le=1, description="trailing rows of one single grey value")
    freshness_window: int = Field(default=4, ge=1, le=64, description="a frame may not repeat any of so many before it")


class ViewRule(ConfinedModel):
    """One view of a part: a region of one exposure of one camera."""

    name: Name
    camera: Name
    offset_ms: float = Field(
        default=0.0, ge=0, le=600_000, description="exposure after the part's first one, e.g. a second light"
    )
    region_px: tuple[int, int, int, int] | None = Field(
        default=None, description="x1, y1, x2, y2 in the frame, x2/y2 exclusive; default: all of it"
    )

    @model_validator(mode="after")
    def _region_has_area(self) -> Self:
        if self.region_px is not None:
            x1, y1, x2, y2 = self.region_px
            if not (0 <= x1 < x2 and 0 <= y1 < y2):
                raise ValueError(f"region_px must be x1 < x2, y1 < y2, none negative, got {self.region_px}")
        return self


class Recipe(ConfinedModel):
    """What makes a part good: model, limits and rules for one product."""

    name: Name
    version: int = Field(ge=1)
    model: Name = Field(description="bundle folder under models_dir")
    deadline_ms: float = Field(gt=0, le=600_000, description="from exposure to the verdict's expiry")
    near_miss_score: float = Field(default=0.1, gt=0, lt=1, description="detections kept for people below the rules")
    evidence: EvidenceLimits
    classes: dict[str, ClassRule] = Field(min_length=1)
    ok_image_rate: float = Field(default=0.01, ge=0, le=1, description="share of OK parts whose images are kept")
    stop_after_rejects: int = Field(
        default=0, ge=0, le=10_000, description="NG or UNKNOWN verdicts in a row that ask the line to stop; 0: never"
    )
    views: tuple[ViewRule, ...] = Field(
        default=(), max_length=32, description="a part's views; default: each trigger is a part of its own"
    )
    assembly_window_ms: float = Field(
        default=20.0, gt=0, le=60_000, description="views of one part lie this close, their offsets taken off"
    )
    complete_within_ms: float | None = Field(
        default=None, gt=0, le=600_000, description="a view that is missing so long after the first is UNKNOWN"
    )

    @model_validator(mode="after")
    def _view_names_differ(self) -> Self:
        names = [view.name for view in self.views]
        if len(set(names)) != len(names):
            raise ValueError(f"view names must differ, got {names}")
        return self


def load(path: Path) -> ApplianceConfig:
    """Read the appliance's configuration; relative paths in it are relative to its folder.

    Raises:
        ConfigError: File missing, not TOML, unknown key, impossible value; names file, key, value and a fix.
    """
    config = _validate(ApplianceConfig, read_toml(path), path)
    folder = path.resolve().parent

    def absolute(model: BaseModel) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, Path):
                changes[name] = folder / value.expanduser()
            elif isinstance(value, BaseModel):
                changes[name] = value.model_copy(update=absolute(value))
            elif isinstance(value, tuple):
                changes[name] = tuple(
                    item.model_copy(update=absolute(item))
                    if isinstance(item, BaseModel)
                    else folder / item.expanduser()
                    if isinstance(item, Path)
                    else item
                    for item in value
                )
        return changes

    return config.model_copy(update=absolute(config))


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: As `load`.
    """
    return _validate(Recipe, read_toml(path), path)


def recipe_reference(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Name a recipe as records do: `name`, `version` and the `sha256` of its file."""
    return {
        "name": recipe.name,
        "version": recipe.version,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: File missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give an existing TOML file (examples/demo.toml is one)") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _validate(model: type[_Model], content: dict[str, Any], path: Path) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, path)) from error


def explain(error: ValidationError, path: Path) -> str:
    """Say the first thing that is wrong with a file in one line: file, key, what is wrong, the value found."""
    first = error.errors()[0]
    # pydantic puts the value of a discriminator (`kind`) into the path; the file has no such table.
    path_in_file = [
        part for part, before in zip(first["loc"], (None, *first["loc"]), strict=False) if before != "source"
    ]
    key = ".".join(str(part) for part in path_in_file) or "(whole file)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{path}: unknown key '{key}'{more}; remove it or check its spelling"
    if first["type"] == "missing":
        return f"{path}: key '{key}' is missing{more}; add it"
    message = first["msg"].removeprefix("Value error, ")
    return f"{path}: {key}: {message}, got {first['input']!r:.80}{more}"


class Surroundings(ConfinedModel):
    """What the environment tells a process.

    Attributes:
        notify_socket: Where systemd, or `appliance run`, listens for READY=1 and WATCHDOG=1.
        watchdog_usec: How long it may be silent, microseconds.
        gentl_path: GENICAM_GENTL64_PATH, where other software looks for GenTL producers; "" when it isn't set.
    """

    notify_socket: str | None
    watchdog_usec: int | None
    gentl_path: str


def surroundings() -> Surroundings:
    """Read the environment variables that the appliance heeds."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return Surroundings(
        notify_socket=os.environ.get("NOTIFY_SOCKET") or None,
        watchdog_usec=int(usec) if usec.isdigit() else None,
        gentl_path=os.environ.get("GENICAM_GENTL64_PATH", ""),
    )


def default_directory(purpose: Literal["runtime", "state"]) -> Path:
    """Choose where files go when the configuration doesn't say: the service's directory as root, the user's else.

    Source: systemd's file-hierarchy(7); XDG base directory specification.
    """
    service = {"runtime": Path("/run/appliance"), "state": Path("/var/lib/appliance")}[purpose]
    if os.access(service, os.W_OK):
        return service
    if purpose == "state":
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "appliance"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "appliance"
    return Path(f"/dev/shm/appliance-{os.getuid()}")  # noqa: S108 (a tmpfs; made 0700, and its owner is checked)
