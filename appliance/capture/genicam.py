"""Cameras and their nodes, by harvesters: the only module that imports it.

harvesters finds devices, opens them and holds the node map. Pixels don't come through it: see `datastream`.

Rules it was built around (each one seen with harvesters 1.4.3 and genicam 1.6.0):

- Two threads in node maps deadlock the process within milliseconds: one thread owns everything here.
- `Harvester.update()` destroys every acquirer (harvesters #475): a camera that comes back is found by rescanning the
  interfaces' device lists.
- An acquirer's finalizer destroys it again at exit, over handles that are gone by then: detached on release.
- A lost device stays "valid"; only a register read tells.
- `create()` in the main thread replaces the SIGINT handler: put back here.
"""

import contextlib
import logging
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.capture.chunks import CHUNK_NAMES, ChunkField
from appliance.config import FeatureValue
from appliance.errors import FeatureRefused, SourceLost, SourceMissing, ToolMissing

try:
    import harvesters.core as harvesters
except ImportError as error:  # Debian's python3 is static; genicam's extension wants the shared library
    harvesters = None
    _import_problem = f"harvesters can't be imported: {error}; install it, and on Debian: apt install libpython3.11"

_RESCAN_TIMEOUT_MS = 1000
_ACCESS = ("NI", "NA", "WO", "RO", "RW")
_REFUSALS = {
    "AccessException",
    "InvalidArgumentException",
    "LogicalErrorException",
    "OutOfRangeException",
    "PropertyException",
}
_NOISE = re.compile(r" : \w+Exception thrown.*", re.DOTALL)
"""Where in GenApi's own source an exception was thrown."""
_quiet = logging.getLogger("appliance.capture.harvesters")
_quiet.setLevel(logging.CRITICAL)  # it logs each refusal with a traceback; we raise them instead


@dataclass(frozen=True)
class CameraInfo:
    """A camera that a producer lists."""

    serial: str
    vendor: str
    model: str
    user_defined_name: str
    is_free: bool


@dataclass(frozen=True)
class FeatureInfo:
    """A feature of a camera: SFNC name, GenApi interface, access mode, and its value where it can be read."""

    name: str
    kind: str
    access: str
    value: FeatureValue | None
    entries: tuple[str, ...]


class NodeMap:
    """One camera's remote node map. For the owner's thread only."""

    def __init__(self, nodes: Any, where: str) -> None:
        self._nodes = nodes
        self._where = where

    def access(self, name: str) -> str:
        """Give "RW", "RO", "WO", "NA", or "NI" for a feature that doesn't exist."""
        with self._translated(name):
            if not self._nodes.has_node(name):
                return "NI"
            return _ACCESS[self._nodes.get_node(name).get_access_mode()]

    def read(self, name: str) -> FeatureValue:
        """Read a feature from the camera, not from a cache."""
        with self._translated(name):
            node = self._nodes.get_node(name)
            value: FeatureValue = node.get_value(False, True)
            return value

    def write(self, name: str, value: FeatureValue) -> None:
        """Write a feature; executes it if it is a command."""
        with self._translated(name, value):
            node = self._nodes.get_node(name)
            kind = type(node).__name__
            if kind == "ICommand":
                if value:
                    node.execute()
            elif kind == "IFloat":
                node.value = float(value)
            elif kind == "IInteger":
                node.value = int(value)
            else:
                node.value = value

    def execute(self, name: str) -> None:
        """Execute a command."""
        self.write(name, True)

    def entries(self, name: str) -> tuple[str, ...]:
        """Give the available entries of an enumeration; none for anything else."""
        with self._translated(name):
            if not self._nodes.has_node(name):
                return ()
            node = self._nodes.get_node(name)
            return tuple(node.symbolics) if type(node).__name__ == "IEnumeration" else ()

    def chunk_fields(self) -> dict[str, ChunkField]:
        """Find where the chunk values lie, as far as the node map says so plainly; never raises for lack of it."""
        fields = {}
        for name in CHUNK_NAMES:
            with contextlib.suppress(FeatureRefused, KeyError, ValueError):
                field = self._chunk_field(f"Chunk{name}")
                if field is not None:
                    fields[name] = field
        return fields

    def features(self) -> list[FeatureInfo]:
        """List every visible feature with its value."""
        found = []
        with self._translated("(all)"):
            for node in self._nodes.nodes:
                kind = type(node).__name__
                if node.node.is_feature() and kind not in {"ICategory", "IPort", "IEnumEntry"}:
                    found.append(self._feature(node.node.name, kind))
        return found

    def disconnect(self) -> None:
        """Cut the node map off the camera."""
        self._nodes.disconnect()

    def _feature(self, name: str, kind: str) -> FeatureInfo:
        access, value = self.access(name), None
        if access in {"RO", "RW"} and kind not in {"ICommand", "IRegister"}:
            with contextlib.suppress(FeatureRefused):
                value = self.read(name)
        return FeatureInfo(name, kind, access, value, self.entries(name))

    def _chunk_field(self, feature: str) -> ChunkField | None:
        """Follow pValue from the feature to its register, and pPort from there to the chunk's id."""
        with self._translated(feature):
            if not self._nodes.has_node(feature):
                return None
            facts = self._properties(feature)
            while "pValue" in facts:
                facts = self._properties(facts["pValue"])
            port = self._properties(facts["pPort"]) if "pPort" in facts else {}
            is_plain = facts.get("NodeType") in {"IntReg", "FloatReg"} and "pAddress" not in facts
            if not is_plain or "ChunkID" not in port:
                return None
            order = "big" if facts.get("Endianess", "").startswith("Big") else "little"
            return ChunkField(int(port["ChunkID"], 16), int(facts["Address"], 0), int(facts["Length"], 0), order)

    def _properties(self, name: str) -> dict[str, str]:
        node = self._nodes.get_node(name).node
        return {key: str(node.get_property(key)[0]) for key in node.property_names}

    @contextlib.contextmanager
    def _translated(self, name: str, value: FeatureValue | None = None) -> Iterator[None]:
        try:
            yield
        except (harvesters.GenApi_GenericException, harvesters.GenTL_GenericException) as error:
            what = name if value is None else f"{name} = {value!r}"
            reason = _NOISE.sub("", str(error)).strip()
            if type(error).__name__ in _REFUSALS:
                raise FeatureRefused(f"{self._where}: {what}: {reason}") from error
            raise SourceLost(f"{self._where}: {what}: no answer from the camera: {reason}") from error


class OpenedCamera:
    """A camera that is ours: its node map, and the GenTL handles of its first data stream."""

    def __init__(self, system: "GenicamSystem", acquirer: Any, where: str) -> None:
        self._system = system
        self._acquirer = acquirer
        self.nodes = NodeMap(acquirer.remote_device.node_map, where)
        device = acquirer.device
        self.vendor = str(device.vendor)
        self.model = str(device.model)
        self.timestamp_hz = _timestamp_hz(device)
        stream = acquirer.data_streams[0]
        self.stream_handle = int(stream.module._handle)
        monitor = acquirer._new_buffer_event_monitor_dict[stream]
        self.event_handle = int(monitor._get_handle())
        self._stream = stream

    def stream_payload_bytes(self) -> int | None:
        """Bytes a buffer needs, where the producer says so rather than the camera's PayloadSize."""
        return int(self._stream.payload_size) if self._stream.defines_payload_size() else None

    def release(self) -> None:
        """Let go of the camera, also of one that doesn't answer. Other cameras of the system stay open."""
        self._system.release(self._acquirer)


class GenicamSystem:
    """One producer, loaded: lists its cameras and opens them.

    Args:
        producer: The `.cti`.
    Raises:
        SourceMissing: No such file.
        ToolMissing: harvesters or a library it needs is not installed.
    """

    def __init__(self, producer: Path) -> None:
        if harvesters is None:
            raise ToolMissing(_import_problem)
        if not producer.is_file():
            raise SourceMissing(f"{producer}: no such GenTL producer; give the path of the vendor's .cti file")
        self._producer = producer
        self._harvester = harvesters.Harvester(logger=_quiet)
        self._harvester.add_file(str(producer))
        self._harvester.update()

    def cameras(self) -> list[CameraInfo]:
        """List what the last scan found."""
        return [_camera_info(device.property_dict) for device in self._harvester.device_info_list]

    def rescan(self) -> None:
        """Look for cameras again; the opened ones stay open."""
        found = []
        for interface in self._harvester._ifaces:
            with contextlib.suppress(harvesters.GenTL_GenericException):
                interface.module.update_device_info_list(_RESCAN_TIMEOUT_MS)
                found += [
                    harvesters.DeviceInfo(module=device, parent=interface)
                    for device in interface.module.device_info_list
                ]
        self._harvester._device_info_list[:] = found

    def open_camera(self, serial: str, where: str) -> OpenedCamera:
        """Open a camera exclusively, by its serial number.

        Raises:
            SourceMissing: Not in the last scan, or in use.
            SourceLost: Found, and didn't answer.
        """
        known = self.cameras()
        if serial not in {camera.serial for camera in known}:
            serials = ", ".join(f"{camera.serial} ({camera.model})" for camera in known) or "none"
            raise SourceMissing(
                f"{where}: no camera with serial number '{serial}' at {self._producer.name}; found: {serials}"
            )
        try:
            with _kept_interrupt_handler():
                acquirer = self._harvester.create({"serial_number": serial})
        except harvesters.GenTL_GenericException as error:
            raise SourceMissing(
                f"{where}: camera '{serial}' is there but can't be opened, maybe another program has it: {error}"
            ) from error
        except harvesters.GenApi_GenericException as error:
            raise SourceLost(f"{where}: camera '{serial}' went away while it was opened: {error}") from error
        return OpenedCamera(self, acquirer, where)

    def release(self, acquirer: Any) -> None:
        """Destroy an acquirer in steps that may each fail."""
        acquirer._finalizer.detach()
        for _ in range(2):  # a first attempt over a dead link ends half-way
            with contextlib.suppress(Exception):
                acquirer.destroy()
        with contextlib.suppress(ValueError):
            self._harvester.image_acquirers.remove(acquirer)

    def close(self) -> None:
        """Release every camera and unload the producer."""
        with contextlib.suppress(harvesters.GenTL_GenericException):
            self._harvester.reset()


def list_cameras(producer: Path) -> list[CameraInfo]:
    """List the cameras a producer finds now.

    Raises:
        SourceMissing: No such producer.
    """
    system = GenicamSystem(producer)
    try:
        return system.cameras()
    finally:
        system.close()


def list_features(producer: Path, serial: str) -> list[FeatureInfo]:
    """Open a camera and list its features with their values.

    Raises:
        SourceMissing: No such producer or camera, or the camera is in use.
    """
    system = GenicamSystem(producer)
    try:
        camera = system.open_camera(serial, f"camera {serial}")
        try:
            return camera.nodes.features()
        finally:
            camera.release()
    finally:
        system.close()


@contextlib.contextmanager
def _kept_interrupt_handler() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _camera_info(facts: dict[str, Any]) -> CameraInfo:
    return CameraInfo(
        serial=str(facts.get("serial_number") or facts.get("id_") or ""),
        vendor=str(facts.get("vendor") or ""),
        model=str(facts.get("model") or ""),
        user_defined_name=str(facts.get("user_defined_name") or ""),
        is_free=facts.get("access_status") in {1, None},  # DEVICE_ACCESS_STATUS_READWRITE
    )


def _timestamp_hz(device: Any) -> int:
    try:
        return int(device.timestamp_frequency) or 1_000_000_000
    except (harvesters.GenTL_GenericException, AttributeError):
        return 1_000_000_000
