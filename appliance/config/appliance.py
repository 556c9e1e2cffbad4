"""The whole appliance's configuration, and how it is read."""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from appliance.config.camera import CameraConfig
from appliance.config.confined import ConfinedModel, Name
from appliance.config.models import ModelsConfig
from appliance.config.processes import (
    DeliveryConfig,
    DriftConfig,
    HealthConfig,
    InspectorConfig,
    ModbusConfig,
    RecorderConfig,
)
from appliance.config.surroundings import default_directory
from appliance.config.toml import read_toml, validate
from appliance.errors import ConfigError

_SOCKET_PATH_BYTES = 107


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
    health: HealthConfig = HealthConfig()
    drift: DriftConfig = DriftConfig()
    models: ModelsConfig = ModelsConfig()
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


def load(path: Path) -> ApplianceConfig:
    """Read the appliance's configuration; relative paths in it are relative to its folder.

    Raises:
        ConfigError: File missing, not TOML, unknown key, impossible value; names file, key, value and a fix.
    """
    config = validate(ApplianceConfig, read_toml(path), path)
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

    config = config.model_copy(update=absolute(config))
    _check_socket_paths(config, path)
    return config


def _check_socket_paths(config: ApplianceConfig, path: Path) -> None:
    """Refuse a runtime directory whose sockets the kernel would refuse: a name may have 107 bytes (unix(7))."""
    longest = max(len(camera.name) for camera in config.cameras) + len("/ring..sock")
    length = len(os.fsencode(config.runtime_dir)) + max(longest, len("/publisher.sock"))
    if length > _SOCKET_PATH_BYTES:
        raise ConfigError(
            f"{path}: runtime_dir {config.runtime_dir}: the paths of its sockets have {length} bytes, at most "
            f"{_SOCKET_PATH_BYTES} are possible; choose a shorter one"
        )
