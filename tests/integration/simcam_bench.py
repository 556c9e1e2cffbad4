"""A bench for the simulated camera: opens it by ctypes alone, sets features by name, looks at what comes back.

Register addresses come from the camera's own XML, so the tests speak SFNC names and the map is checked on the way.
"""

import ctypes
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int32, c_size_t, c_uint8, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import numpy.typing as npt

from appliance.capture.simcam import settings
from appliance.capture.simcam.build import SOURCE_FOLDER, build
from appliance.capture.simcam.control import Counters, SimcamControl
from appliance.capture.simcam.pack import Pack
from appliance.capture.simcam.settings import SimulatedCamera
from appliance.testing.patience import PATIENCE_S

TIMEOUT, ABORT, IO, INVALID_HANDLE, BUFFER_TOO_SMALL = -1011, -1012, -1010, -1006, -1016
CHUNKS = ("FrameID", "Timestamp", "ExposureTime", "CounterValue", "EncoderValue", "LineStatusAll")
Image = npt.NDArray[np.uint8]


class GentlCode(Exception):
    """A GenTL function answered something else than success."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function}: {code} {text}")
        self.code = code


def producer_path() -> Path:
    """The built producer; SIMCAM_TEST_CTI names another build, for instance one with a sanitizer."""
    other = os.environ.get("SIMCAM_TEST_CTI")
    return Path(other) if other else build()


def load(path: Path) -> ctypes.CDLL:
    """The producer with the prototypes these tests use; every handle is a void pointer."""
    library = ctypes.CDLL(str(path))
    pointer, size_p = c_void_p, ctypes.POINTER(c_size_t)
    for name, types in {
        "GCGetLastError": [ctypes.POINTER(c_int32), c_char_p, size_p],
        "GCReadPort": [pointer, c_uint64, pointer, size_p],
        "GCWritePort": [pointer, c_uint64, pointer, size_p],
        "GCRegisterEvent": [pointer, c_int32, pointer],
        "GCUnregisterEvent": [pointer, c_int32],
        "TLOpen": [pointer],
        "TLClose": [pointer],
        "TLUpdateInterfaceList": [pointer, pointer, c_uint64],
        "TLOpenInterface": [pointer, c_char_p, pointer],
        "IFUpdateDeviceList": [pointer, pointer, c_uint64],
        "IFGetNumDevices": [pointer, pointer],
        "IFGetDeviceID": [pointer, ctypes.c_uint32, c_char_p, size_p],
        "IFGetDeviceInfo": [pointer, c_char_p, c_int32, pointer, pointer, size_p],
        "IFOpenDevice": [pointer, c_char_p, c_int32, pointer],
        "IFClose": [pointer],
        "DevGetPort": [pointer, pointer],
        "DevOpenDataStream": [pointer, c_char_p, pointer],
        "DevClose": [pointer],
        "DSAnnounceBuffer": [pointer, pointer, c_size_t, pointer, pointer],
        "DSAllocAndAnnounceBuffer": [pointer, c_size_t, pointer, pointer],
        "DSRevokeBuffer": [pointer, pointer, pointer, pointer],
        "DSQueueBuffer": [pointer, pointer],
        "DSFlushQueue": [pointer, c_int32],
        "DSGetBufferID": [pointer, ctypes.c_uint32, pointer],
        "DSStartAcquisition": [pointer, c_int32, c_uint64],
        "DSStopAcquisition": [pointer, c_int32],
        "DSGetInfo": [pointer, c_int32, pointer, pointer, size_p],
        "DSGetBufferInfo": [pointer, pointer, c_int32, pointer, pointer, size_p],
        "DSGetBufferChunkData": [pointer, pointer, pointer, size_p],
        "DSClose": [pointer],
        "EventGetData": [pointer, pointer, size_p, c_uint64],
        "EventKill": [pointer],
        "EventFlush": [pointer],
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, c_int32
    return library


@dataclass(frozen=True)
class Register:
    """A register of the XML and how its bytes read."""

    address: int
    length: int
    layout: str


def registers() -> dict[str, Register]:
    """Every register of nodes.xml by its node's name."""
    found = {}
    for node in ElementTree.parse(SOURCE_FOLDER / "nodes.xml").getroot():
        kind = node.tag.partition("}")[2]
        values = {child.tag.partition("}")[2]: child.text or "" for child in node}
        if kind in {"IntReg", "FloatReg", "StringReg"} and values["pPort"] == "Device":
            length = int(values["Length"])
            layout = {"IntReg": {4: "<I", 8: "<Q"}.get(length, ""), "FloatReg": "<d"}.get(kind, f"{length}s")
            found[node.attrib["Name"]] = Register(int(values["Address"], 16), length, layout)
    return found


REGISTERS = registers()
ENUMERATIONS = {
    "PixelFormat": {"Mono8": 0x01080001, "Mono16": 0x01100007, "RGB8": 0x02180014, "BayerRG8": 0x01080009},
    "TriggerSource": {"Software": 0, "Line0": 1},
    "AcquisitionMode": {"Continuous": 0, "SingleFrame": 1, "MultiFrame": 2},
}


@dataclass(frozen=True)
class Frame:
    """One delivered buffer as the standard's functions describe it; `payload` views its memory."""

    buffer: int
    frame_id: int | None
    timestamp_ns: int | None
    size_filled: int
    is_incomplete: bool
    has_chunks: bool
    width: int
    height: int
    payload: Image
    chunks: dict[str, float]

    def image(self) -> Image:
        """The first width * height bytes as (H, W)."""
        return self.payload[: self.width * self.height].reshape(self.height, self.width)


class Library:
    """The producer, loaded and opened once; one at a time."""

    def __init__(self, path: Path | None = None) -> None:
        self._library = load(path or producer_path())
        self.call("GCInitLib")
        self.system, self.interface = c_void_p(), c_void_p()
        try:
            self.call("TLOpen", byref(self.system))
            self.call("TLOpenInterface", self.system, b"SimCamInterface", byref(self.interface))
        except GentlCode:
            self.call("GCCloseLib")
            raise

    def code(self, function: str, *arguments: object) -> int:
        """Call and give the error code."""
        return int(getattr(self._library, function)(*arguments))

    def call(self, function: str, *arguments: object) -> None:
        """Call and raise on anything but success."""
        code = self.code(function, *arguments)
        if code != 0:
            raise GentlCode(function, code, self.last_error())

    def last_error(self) -> str:
        """This thread's last error text."""
        code, text, size = c_int32(), ctypes.create_string_buffer(512), c_size_t(512)
        self.code("GCGetLastError", byref(code), text, byref(size))
        return text.value.decode()

    def device_ids(self) -> list[str]:
        """Look for devices and name those that are there."""
        changed, count = c_uint8(), ctypes.c_uint32()
        self.call("IFUpdateDeviceList", self.interface, byref(changed), 100)
        self.call("IFGetNumDevices", self.interface, byref(count))
        ids = []
        for index in range(count.value):
            text, size = ctypes.create_string_buffer(128), c_size_t(128)
            self.call("IFGetDeviceID", self.interface, index, text, byref(size))
            ids.append(text.value.decode())
        return ids

    def close(self) -> None:
        """Close everything that is still open."""
        self.call("GCCloseLib")


class Camera:
    """One opened device with its stream and its new-buffer event."""

    def __init__(self, library: Library, serial: str) -> None:
        self.library = library
        self.device, self.port = c_void_p(), c_void_p()
        self.stream, self.event = c_void_p(), c_void_p()
        self.buffers: list[int] = []
        self._memory: list[mmap.mmap] = []
        library.call("IFOpenDevice", library.interface, f"SimCam_{serial}".encode(), 4, byref(self.device))
        library.call("DevGetPort", self.device, byref(self.port))
        library.call("DevOpenDataStream", self.device, b"Stream0", byref(self.stream))
        library.call("GCRegisterEvent", self.stream, 1, byref(self.event))

    # -- features

    def get(self, name: str) -> float | str:
        register = REGISTERS.get(name) or REGISTERS[name + "Reg"]
        data, size = ctypes.create_string_buffer(register.length), c_size_t(register.length)
        self.library.call("GCReadPort", self.port, register.address, data, byref(size))
        (value,) = struct.unpack(register.layout, data.raw)
        return value.rstrip(b"\0").decode() if isinstance(value, bytes) else value

    def set(self, **features: float | str) -> None:
        for name, value in features.items():
            register = REGISTERS.get(name) or REGISTERS[name + "Reg"]
            number = ENUMERATIONS[name][value] if isinstance(value, str) else value
            data = struct.pack(register.layout, float(number) if register.layout == "<d" else int(number))
            self.library.call("GCWritePort", self.port, register.address, data, byref(c_size_t(len(data))))

    def enable_chunks(self, *names: str) -> None:
        for name in names or CHUNKS:
            self.set(ChunkSelector=CHUNKS.index(name), ChunkEnable=1)
        self.set(ChunkModeActive=1)

    # -- stream

    def info(self, command: int) -> int:
        value, size, kind = c_uint64(), c_size_t(8), c_int32()
        self.library.call("DSGetInfo", self.stream, command, byref(kind), byref(value), byref(size))
        return value.value

    @property
    def underruns(self) -> int:
        return self.info(2)

    @property
    def payload_bytes(self) -> int:
        return self.info(7)

    def announce(self, count: int = 8, *, size: int | None = None) -> None:
        """Announce and queue `count` buffers in one memfd of ours: the memory another process could map."""
        bytes_each = size or self.payload_bytes
        fd = os.memfd_create("simcam-test")
        os.ftruncate(fd, bytes_each * count)
        memory = mmap.mmap(fd, bytes_each * count)
        os.close(fd)
        self._memory.append(memory)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for index in range(count):
            buffer = c_void_p()
            self.library.call(
                "DSAnnounceBuffer", self.stream, base + index * bytes_each, bytes_each, index, byref(buffer)
            )
            self.buffers.append(int(buffer.value or 0))
            self.queue(self.buffers[-1])

    def queue(self, buffer: int) -> None:
        self.library.call("DSQueueBuffer", self.stream, buffer)

    def start(self, buffers: int = 40) -> None:
        """Start stream and camera; 40 buffers outlast a busy machine's pauses."""
        if not self.buffers:
            self.announce(buffers)
        self.library.call("DSStartAcquisition", self.stream, 0, 2**64 - 1)
        self.set(TLParamsLocked=1, AcquisitionStart=1)

    def stop(self) -> None:
        self.set(AcquisitionStop=1, TLParamsLocked=0)
        self.stop_stream()

    def stop_stream(self) -> None:
        """The part of a stop that works without the camera."""
        self.library.code("DSStopAcquisition", self.stream, 0)
        self.library.call("DSFlushQueue", self.stream, 4)
        for buffer in self.buffers:
            self.library.call("DSRevokeBuffer", self.stream, buffer, None, None)
        self.buffers.clear()
        self._memory.clear()

    def wait(self, timeout_ms: int = 2000) -> int:
        """The next filled buffer."""
        data, size = (c_void_p * 2)(), c_size_t(16)
        self.library.call("EventGetData", self.event, byref(data), byref(size), timeout_ms)
        return int(data[0] or 0)

    def number(self, buffer: int, command: int) -> int | None:
        value, size, kind = c_uint64(), c_size_t(8), c_int32()
        code = self.library.code(
            "DSGetBufferInfo", self.stream, buffer, command, byref(kind), byref(value), byref(size)
        )
        return value.value if code == 0 else None

    def describe(self, buffer: int) -> Frame:
        base, size = self.number(buffer, 0), self.number(buffer, 1)
        assert base is not None
        assert size is not None
        payload = np.ctypeslib.as_array((c_uint8 * size).from_address(base))
        has_chunks = bool(self.number(buffer, 30))
        return Frame(
            buffer=buffer,
            frame_id=self.number(buffer, 16),
            timestamp_ns=self.number(buffer, 28),
            size_filled=self.number(buffer, 9) or 0,
            is_incomplete=bool(self.number(buffer, 7)),
            has_chunks=has_chunks,
            width=self.number(buffer, 10) or 0,
            height=self.number(buffer, 11) or 0,
            payload=payload,
            chunks=self._chunks(buffer, payload) if has_chunks else {},
        )

    def _chunks(self, buffer: int, payload: Image) -> dict[str, float]:
        places, count = ctypes.create_string_buffer(24 * 16), c_size_t(16)
        self.library.call("DSGetBufferChunkData", self.stream, buffer, places, byref(count))
        values: dict[str, float] = {}
        for index in range(count.value):
            chunk_id, offset, _ = struct.unpack_from("<QqQ", places, index * 24)
            if chunk_id > 0x1000:
                name = CHUNKS[chunk_id - 0x1001]
                layout = "<d" if name == "ExposureTime" else "<Q"
                (values[name],) = struct.unpack_from(layout, payload.tobytes(), offset)
        return values

    def next(self, timeout_ms: int = 2000) -> Frame:
        """The next frame, copied out; its buffer is queued again."""
        buffer = self.wait(timeout_ms)
        frame = self.describe(buffer)
        copy = Frame(**{**frame.__dict__, "payload": frame.payload.copy()})
        self.queue(buffer)
        return copy

    def close(self) -> None:
        self.library.call("DevClose", self.device)
        self._memory.clear()

    def forget_memory(self) -> None:
        """Close the stream, then give the announced memory back."""
        self.library.code("DSClose", self.stream)
        self._memory.clear()


@dataclass(frozen=True)
class Bench:
    """A settings file with cameras, their packs, and the folder everything lies in."""

    folder: Path
    cameras: tuple[SimulatedCamera, ...]
    packs: tuple[Pack, ...]

    def control(self, index: int = 0) -> SimcamControl:
        return SimcamControl(self.cameras[index].state)


def make_images(folder: Path, *, count: int = 5, width: int = 96, height: int = 64, channels: int = 1) -> Path:
    """Noise: every image differs from every other in nearly every pixel, none is all black or white."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if channels == 1 else (height, width, channels)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(1, 255, shape, dtype=np.uint8)
        assert cv2.imwrite(str(folder / f"part-{index:02}.png"), pixels)
    return folder


def make_bench(folder: Path, *cameras: dict[str, object], channels: int = 1) -> Bench:
    """Write settings for cameras SIM-0, SIM-1 ... with these fields; the caller sets APPLIANCE_SIMCAM."""
    images = make_images(folder / "images", channels=channels)
    described = tuple(
        SimulatedCamera(
            **{  # type: ignore[arg-type]
                "serial": f"SIM-{index}",
                "images": images,
                "state": folder / f"camera-{index}.state",
                **fields,
            }
        )
        for index, fields in enumerate(cameras or ({},))
    )
    packs = settings.write(folder / "cameras.txt", described)
    return Bench(folder, described, tuple(packs))


def settled(control: SimcamControl) -> Counters:
    """The counters once the exposure that a stop cut short is booked."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        counters = control.counters()
        booked = counters.delivered + counters.underrun + counters.lost + counters.abandoned
        if counters.exposed == booked:
            return counters
        assert time.monotonic() < deadline, counters
        time.sleep(0.001)


@contextmanager
def opened(bench: Bench, index: int = 0) -> Iterator[Camera]:
    """The producer with one camera open."""
    library = Library()
    try:
        camera = Camera(library, bench.cameras[index].serial)
        yield camera
        camera.forget_memory()
    finally:
        library.close()
