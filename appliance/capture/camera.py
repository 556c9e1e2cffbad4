"""A GenICam camera as a source of frames: node map from `genicam`, pixels from `datastream`."""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.capture.chunks import CHUNK_NAMES, ChunkField
from appliance.capture.datastream import DataStream
from appliance.capture.delivery import Announcement, Counting, Delivery, StreamPlan
from appliance.capture.device_clock import DeviceClock
from appliance.capture.exposure import Exposure
from appliance.capture.features import AppliedFeature, apply_features, find_drift
from appliance.capture.genicam import GenicamSystem, NodeMap, OpenedCamera
from appliance.capture.gentl import Producer
from appliance.capture.simulator import prepare_simulator
from appliance.config import GenicamSource
from appliance.errors import FeatureRefused, SourceError, SourceLost
from appliance.messages import BYTES_PER_PIXEL, FrameGeometry
from appliance.ring import RingMemory

log = logging.getLogger(__name__)

SIMULATOR_VENDOR = "Appliance SimCam"
_PROBES = ("DeviceTemperature", "ExposureTime", "AcquisitionFrameRate", "Width")
_FIRST_LATCHES = 5
_TIMESTAMP_LATCHES = (
    ("TimestampLatch", "TimestampLatchValue", None),
    ("GevTimestampControlLatch", "GevTimestampValue", "GevTimestampTickFrequency"),  # before SFNC 2.0
)


class GenicamCamera:
    """One camera, found by its serial number; simulated ones are set up first. See `source.Source` for the promises.

    Args:
        name: The camera's name in the configuration.
        simulator_dir: For simulated cameras: settings, pictures, state.
    """

    def __init__(self, name: str, config: GenicamSource, simulator_dir: Path) -> None:
        self._config = config
        self._where = f"camera {name} (serial {config.serial})"
        self._simulator_dir = simulator_dir
        self._system: GenicamSystem | None = None
        self._producer_path: Path | None = None
        self._camera: OpenedCamera | None = None
        self._stream: DataStream | None = None
        self._plan: StreamPlan | None = None
        self._applied: list[AppliedFeature] = []
        self._next_drift_check = 0
        self._drifted: dict[str, str] = {}
        self._latch: Callable[[], int] | None = None
        self._exposure = Exposure()
        self.clock = DeviceClock(config.transfer_ms)

    # -- the owner's thread

    def open(self) -> StreamPlan:
        """Find the camera, apply its features, read its clock; says what frames will come."""
        if self._system is None:
            self._producer_path = self._prepare_producer()
            self._system = GenicamSystem(self._producer_path)
        else:
            self._system.rescan()
        self._camera = self._system.open_camera(self._config.serial, self._where)
        try:
            self._plan = self._set_up(self._camera)
        except BaseException:
            self.close_camera()
            raise
        return self._plan

    def announce(self, memory: RingMemory) -> Announcement:
        """Announce ring slots, or let the producer use its own buffers."""
        stream, plan = self._require_stream()
        return stream.announce(plan, memory, mode=self._config.announce)

    def start(self) -> None:
        """Lock the transport parameters, start the engine, then the camera."""
        stream, _ = self._require_stream()
        self._lock_parameters(True)
        stream.start()
        self._nodes.execute("AcquisitionStart")

    def probe(self, now_ns: int) -> None:  # noqa: ARG002 (a source that is not a camera may need it)
        """Read a register over the wire; latch the clock; compare one feature; read exposure time or gain."""
        if self._latch is not None:
            self._latch_clock()
        else:
            name = next((name for name in _PROBES if self._nodes.access(name).startswith("R")), None)
            if name is not None:
                self._nodes.read(name)
        self._check_drift()
        self._exposure.read_next(self._nodes)

    def halt(self) -> None:
        """Stop the camera, unlock, stop the engine."""
        if self._camera is not None and self._stream is not None:
            with contextlib.suppress(SourceError):
                self._nodes.execute("AcquisitionStop")
            with contextlib.suppress(SourceError):
                self._lock_parameters(False)
            self._stream.halt()

    def end(self) -> None:
        """Take all buffers back from the producer."""
        if self._stream is not None:
            self._stream.close()

    def close_camera(self) -> None:
        """Release the camera; the producer stays loaded for its return."""
        self.end()
        self._stream = None
        if self._camera is not None:
            self._camera.release()
            self._camera = None

    def close(self, *, is_final: bool = True) -> None:
        """Release the camera, and the producer as well unless the camera is expected back."""
        self.close_camera()
        if is_final and self._system is not None:
            self._system.close()
            self._system = None

    # -- any thread

    def queue(self, slot: int) -> None:
        """Give a slot to the producer."""
        stream, _ = self._require_stream()
        stream.lend(slot)

    def wake(self) -> None:
        """End a `wait` now."""
        if self._stream is not None:
            self._stream.wake()

    def status(self) -> dict[str, Any]:
        """Give serial number, underruns, exposure time and gain, and features that changed by themselves."""
        stream = self._stream
        return {
            "serial": self._config.serial,
            "underruns": stream.underruns if stream is not None else 0,
            "feature_drift": sorted(self._drifted.values()),
            **self._exposure.values,
        }

    # -- the capture thread

    def wait(self, timeout_s: float) -> Delivery | None:
        """Wait for the next frame."""
        stream, _ = self._require_stream()
        return stream.wait(timeout_s)

    # -- setting up

    @property
    def _nodes(self) -> NodeMap:
        if self._camera is None:
            raise SourceLost(f"{self._where}: not open")
        return self._camera.nodes

    def _prepare_producer(self) -> Path:
        if self._config.simulator is not None:
            return prepare_simulator(self._config.serial, self._config.simulator, self._simulator_dir)
        assert self._config.producer is not None
        return self._config.producer

    def _set_up(self, camera: OpenedCamera) -> StreamPlan:
        self._quieten(camera.nodes)
        self._applied = apply_features(camera.nodes, self._config.features, self._where)
        self._next_drift_check = 0
        self._drifted.clear()
        fields = self._set_up_chunks(camera.nodes)
        is_triggered, is_by_line = _trigger_facts(camera.nodes)
        count_name, counting = _counting(fields, is_by_line=is_by_line)
        assert self._producer_path is not None
        self._stream = DataStream(
            Producer(self._producer_path, self._where),
            camera.stream_handle,
            camera.event_handle,
            where=self._where,
            fields={name: field for name, field in fields.items() if name in {"FrameID", "Timestamp", count_name}},
            count_name=count_name,
            timestamp_hz=camera.timestamp_hz,
        )
        self._set_up_clock(camera.nodes)
        self._exposure.read(camera.nodes)
        geometry = self._geometry(camera.nodes)
        payload = camera.stream_payload_bytes() or int(camera.nodes.read("PayloadSize"))
        return StreamPlan(
            geometry=geometry,
            tail_bytes=max(payload - geometry.payload_bytes, 0),
            alignment=self._stream.alignment,
            is_free_running=not is_triggered,
            is_simulated=camera.vendor == SIMULATOR_VENDOR,
            counting=counting,
        )

    def _quieten(self, nodes: NodeMap) -> None:
        """End what a killed host may have left behind: a running acquisition, locked features."""
        for name, value in (("AcquisitionStop", True), ("TLParamsLocked", 0)):
            with contextlib.suppress(FeatureRefused):
                if nodes.access(name) in {"RW", "WO"}:
                    nodes.write(name, value)

    def _set_up_chunks(self, nodes: NodeMap) -> dict[str, ChunkField]:
        """Switch on the chunks the appliance reads, unless the configuration has its own wishes; never fatal."""
        has_wishes = any(key.startswith("Chunk") for key in self._config.features)
        try:
            if not has_wishes and nodes.access("ChunkModeActive") == "RW":
                nodes.write("ChunkModeActive", True)
                offered = nodes.entries("ChunkSelector")
                for name in CHUNK_NAMES:
                    if name in offered:
                        nodes.write("ChunkSelector", name)
                        nodes.write("ChunkEnable", True)
            if nodes.access("ChunkModeActive") in {"RO", "RW"} and nodes.read("ChunkModeActive"):
                return nodes.chunk_fields()
        except FeatureRefused as error:
            log.warning("%s: goes on without chunk data: %s", self._where, error)
        return {}

    def _geometry(self, nodes: NodeMap) -> FrameGeometry:
        # Some producers report 0 x 0 with each buffer: the node map is asked once, while features are locked.
        pixel_format = str(nodes.read("PixelFormat"))
        if pixel_format not in BYTES_PER_PIXEL:
            known, offered = ", ".join(BYTES_PER_PIXEL), ", ".join(nodes.entries("PixelFormat"))
            raise FeatureRefused(
                f"{self._where}: PixelFormat: expected one of {known}, got {pixel_format}; "
                f"set one in cameras.source.features; the camera offers {offered}"
            )
        return FrameGeometry(int(nodes.read("Width")), int(nodes.read("Height")), pixel_format)

    def _set_up_clock(self, nodes: NodeMap) -> None:
        self.clock.reset()
        self._latch = None
        for command, value, frequency in _TIMESTAMP_LATCHES:
            if nodes.access(command) in {"RW", "WO"} and nodes.access(value).startswith("R"):
                hz = int(nodes.read(frequency)) if frequency and nodes.access(frequency) != "NI" else 1_000_000_000
                self._latch = _latch_function(nodes, command, value, hz)
                break
        if self._latch is not None:
            for _ in range(_FIRST_LATCHES):
                self._latch_clock()

    def _latch_clock(self) -> None:
        assert self._latch is not None
        before_ns = time.monotonic_ns()
        device_ns, after_ns = self._latch(), time.monotonic_ns()
        self.clock.add_latch(before_ns, device_ns, after_ns)

    def _lock_parameters(self, is_locked: bool) -> None:
        if self._nodes.access("TLParamsLocked") == "RW":
            self._nodes.write("TLParamsLocked", int(is_locked))

    def _check_drift(self) -> None:
        """Compare one applied feature a call, in turn."""
        if not self._applied:
            return
        applied = self._applied[self._next_drift_check % len(self._applied)]
        self._next_drift_check += 1
        drift = find_drift(self._nodes, applied)
        if drift is None:
            self._drifted.pop(applied.key, None)
        elif self._drifted.get(applied.key) != drift:
            self._drifted[applied.key] = drift
            log.warning("%s: a feature changed by itself: %s", self._where, drift)

    def _require_stream(self) -> tuple[DataStream, StreamPlan]:
        if self._stream is None or self._plan is None:
            raise SourceLost(f"{self._where}: not open")
        return self._stream, self._plan


def _latch_function(nodes: NodeMap, command: str, value: str, hz: int) -> Callable[[], int]:
    def latch() -> int:
        nodes.execute(command)
        return int(nodes.read(value)) * 1_000_000_000 // hz

    return latch


def _trigger_facts(nodes: NodeMap) -> tuple[bool, bool]:
    """Tell whether frames are triggered, and whether by a line (that a counter could count) rather than by software."""
    if nodes.access("TriggerMode") not in {"RO", "RW"}:
        return False, False
    if "FrameStart" in nodes.entries("TriggerSelector") and nodes.access("TriggerSelector") == "RW":
        nodes.write("TriggerSelector", "FrameStart")
    is_triggered = nodes.read("TriggerMode") == "On"
    source = str(nodes.read("TriggerSource")) if nodes.access("TriggerSource") in {"RO", "RW"} else "Line0"
    return is_triggered, is_triggered and source != "Software"


def _counting(fields: dict[str, ChunkField], *, is_by_line: bool) -> tuple[str | None, Counting]:
    if "CounterValue" in fields:
        return "CounterValue", Counting.TRIGGERS if is_by_line else Counting.NOTHING
    if "EncoderValue" in fields:
        return "EncoderValue", Counting.ENCODER if is_by_line else Counting.NOTHING
    return None, Counting.NOTHING
