"""Which of the configured cameras are there, and what features they have."""

from dataclasses import dataclass
from pathlib import Path

from appliance.capture.genicam import CameraInfo, FeatureInfo, list_cameras, list_features
from appliance.capture.simcam.control import SimcamControl
from appliance.capture.simulator import prepare_simulator, simulator_dir, state_path
from appliance.config import ApplianceConfig, CameraConfig, FolderSource
from appliance.errors import ConfigError, SourceError


@dataclass(frozen=True)
class CameraPresence:
    """A configured camera, or one that a producer lists and the configuration doesn't name.

    Attributes:
        name: From the configuration; None for a camera it doesn't name.
        state: "free", "in use", "missing", or "folder" for replayed files.
        detail: Why it is missing.
    """

    name: str | None
    serial: str
    vendor: str = ""
    model: str = ""
    state: str = "missing"
    detail: str = ""


def find_cameras(config: ApplianceConfig) -> list[CameraPresence]:
    """Ask every configured producer for its cameras; simulated cameras are set up on the way."""
    present: list[CameraPresence] = []
    for camera in config.cameras:
        if isinstance(camera.source, FolderSource):
            present.append(CameraPresence(camera.name, str(camera.source.images), state="folder"))
            continue
        try:
            listed = list_cameras(producer_of(config, camera))
        except SourceError as error:
            present.append(CameraPresence(camera.name, camera.source.serial, detail=str(error)))
            continue
        present.extend(_presences(camera, camera.source.serial, listed))
    named = {(presence.serial, presence.model) for presence in present if presence.name}
    return [p for p in present if p.name or (p.serial, p.model) not in named]


def camera_features(config: ApplianceConfig, name: str) -> list[FeatureInfo]:
    """List a camera's features with their values.

    Raises:
        SourceMissing: Not there, or in use.
        ConfigError: No such camera, or one without features.
    """
    camera = config.camera(name)
    if isinstance(camera.source, FolderSource):
        raise ConfigError(f"camera {name} replays a folder: it has no features; choose one of kind genicam")
    return list_features(producer_of(config, camera), camera.source.serial)


def producer_of(config: ApplianceConfig, camera: CameraConfig) -> Path:
    """Give the GenTL producer of a camera; a simulated one is made ready first.

    Raises:
        ConfigError: The simulator's pictures can't be used, or the camera has no producer.
        ToolMissing: No C compiler.
    """
    source = camera.source
    if isinstance(source, FolderSource):
        raise ConfigError(f"camera {camera.name} replays a folder: it has no GenTL producer")
    if source.simulator is not None:
        return prepare_simulator(source.serial, source.simulator, simulator_dir(config.runtime_dir))
    assert source.producer is not None  # the configuration wants one of the two
    return source.producer


def _presences(camera: CameraConfig, serial: str, listed: list[CameraInfo]) -> list[CameraPresence]:
    found = [
        CameraPresence(
            name=camera.name if info.serial == serial else None,
            serial=info.serial,
            vendor=info.vendor,
            model=info.model,
            state="free" if info.is_free else "in use",
        )
        for info in listed
    ]
    if not any(presence.name for presence in found):
        serials = ", ".join(info.serial for info in listed) or "none"
        found.append(CameraPresence(camera.name, serial, detail=f"its producer lists: {serials}"))
    return found


def inject_fault(config: ApplianceConfig, name: str, kind: str, count: int) -> None:
    """Order a fault of a simulated camera for its next exposures.

    Raises:
        ConfigError: No such camera, not a simulated one, or an unknown kind of fault.
    """
    source = config.camera(name).source
    if isinstance(source, FolderSource) or source.simulator is None:
        raise ConfigError(f"camera {name} is not simulated: faults can only be ordered from a simulated camera")
    folder = simulator_dir(config.runtime_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with SimcamControl(state_path(folder, source.serial)) as control:
        control.inject(kind, count=count)
