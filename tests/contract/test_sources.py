"""The promises of `Source`, one suite over every kind and every way to announce memory."""

import ctypes
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.capture.delivery import Announcement, Delivery, StreamPlan
from appliance.capture.genicam import GenicamSystem, list_cameras, list_features
from appliance.capture.source import SOURCES, Source, open_source
from appliance.config import CameraConfig, FeatureValue
from appliance.errors import SourceMissing
from appliance.ring import RingLayout, RingMemory
from appliance.testing.grabber_rig import TRIGGERED, simulated, write_images
from appliance.testing.patience import PATIENCE_S

SLOTS = 6
MARK = 0xA5


@dataclass(frozen=True)
class Case:
    """A source to hold to its promises."""

    name: str
    announcement: Announcement
    describe: Callable[[Path], dict[str, Any]]
    replays_files: bool = True


def _simcam(announce: str, **features: FeatureValue) -> Callable[[Path], dict[str, Any]]:
    return lambda images: simulated(images, line_hz=100.0, announce=announce, features=TRIGGERED | features)


def _viky(announce: str) -> Callable[[Path], dict[str, Any]]:
    spec = importlib.util.find_spec("genicam")
    assert spec is not None
    assert spec.origin is not None
    features = {"PixelFormat": "Mono8", "Width": 160, "Height": 120, "AcquisitionFrameRate": 100.0}
    producer = str(Path(spec.origin).parent / "viky.cti")
    return lambda _: {
        "kind": "genicam", "serial": "1", "producer": producer, "features": features, "announce": announce
    }  # fmt: skip


CASES = (
    Case("simcam-ring", Announcement.RING, _simcam("ring")),
    Case("simcam-auto", Announcement.RING, _simcam("auto")),
    Case("simcam-without-chunks", Announcement.RING, _simcam("ring", ChunkModeActive=False)),
    Case("simcam-producer", Announcement.PRODUCER, _simcam("producer")),
    Case("viky-ring", Announcement.RING, _viky("ring"), replays_files=False),
    Case("viky-producer", Announcement.PRODUCER, _viky("producer"), replays_files=False),
    Case(
        "folder",
        Announcement.FILES,
        lambda images: {"kind": "folder", "images": str(images), "frame_rate_hz": 100.0},
    ),
)


class Stand:
    """A source, opened, and memory for its frames."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.images = write_images(folder / "images", 5)
        camera = CameraConfig.model_validate({"name": "cam0", "source": case.describe(folder / "images")})
        self.source: Source = open_source(camera, folder / "simcam")
        self.plan: StreamPlan = self.source.open()
        layout = RingLayout.plan(
            self.plan.geometry, SLOTS, tail_bytes=self.plan.tail_bytes, alignment=self.plan.alignment
        )
        self.memory = RingMemory(layout)
        for slot in range(SLOTS):
            self.image(slot)[:] = MARK

    def start(self, slots: list[int]) -> None:
        assert self.source.announce(self.memory) is self.case.announcement
        for slot in slots:
            self.source.queue(slot)
        self.source.start()

    def image(self, slot: int) -> NDArray[np.uint8]:
        return self.memory.writable(slot)[: self.plan.geometry.payload_bytes]

    def next(self) -> Delivery:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            delivery = self.source.wait(0.5)
            if delivery is not None:
                return delivery
        raise TimeoutError("no frame")

    def take(self, count: int) -> list[Delivery]:
        """Take frames, giving each slot back at once."""
        taken = []
        for _ in range(count):
            taken.append(self.next())
            if taken[-1].slot is not None:
                self.source.queue(taken[-1].slot)
        return taken

    def stop(self) -> list[Delivery]:
        """Stop as the grabber does; gives what was delivered already."""
        self.source.halt()
        rest = []
        while (delivery := self.source.wait(0.05)) is not None:
            rest.append(delivery)
        self.source.end()
        return rest

    def close(self) -> None:
        self.source.halt()
        self.source.end()
        self.source.close()
        self.memory.close()


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(request.param, tmp_path)
    yield stand
    stand.close()


def test_the_table_has_every_kind() -> None:
    assert set(SOURCES) == {"genicam", "folder"}


def test_frames_are_whole_numbered_and_in_lent_slots(stand: Stand) -> None:
    stand.start([0, 1, 2])

    frames = stand.take(10)

    assert {frame.slot for frame in frames} <= {0, 1, 2}
    assert not any(frame.is_incomplete for frame in frames)
    numbers = [frame.frame_id for frame in frames]
    assert all(number is not None for number in numbers)
    assert numbers == sorted(set(numbers))
    received = [frame.received_ns for frame in frames]
    assert received == sorted(received)


def test_a_frame_was_exposed_before_it_was_received(stand: Stand) -> None:
    stand.start([0, 1, 2])

    for frame in stand.take(5):
        mapped = stand.source.clock.map(frame.device_timestamp_ns, frame.received_ns)
        assert 0 <= frame.received_ns - mapped.exposed_ns < 1e9


def test_the_first_frame_overwrites_its_whole_slot(stand: Stand) -> None:
    stand.start([0])

    frame = stand.next()

    assert frame.slot == 0
    assert (stand.image(0)[-64:] != MARK).any()


def test_the_camera_itself_wrote_the_slot_exactly_when_nothing_is_copied(stand: Stand) -> None:
    """Chunk data lies behind the image only in memory the camera was given: the copy takes pixels alone."""
    if stand.plan.tail_bytes == 0:
        pytest.skip("these frames have no chunk data")
    stand.start([0])
    frame = stand.next()
    assert frame.slot == 0

    tail = ctypes.string_at(stand.memory.address(0) + stand.plan.geometry.payload_bytes, stand.plan.tail_bytes)

    assert any(tail) is (stand.case.announcement is Announcement.RING)


def test_slots_that_were_not_lent_keep_their_pixels(stand: Stand) -> None:
    stand.start([1, 3])

    stand.take(8)
    stand.stop()

    for slot in (0, 2, 4, 5):
        assert (stand.image(slot) == MARK).all()


def test_a_delivered_slot_keeps_its_pixels_until_it_is_queued_again(stand: Stand) -> None:
    stand.start([0, 1, 2])
    kept = stand.next()
    assert kept.slot is not None
    pixels = stand.image(kept.slot).copy()

    others = stand.take(6)

    assert kept.slot not in {frame.slot for frame in others}
    assert (stand.image(kept.slot) == pixels).all()


def test_pixels_are_the_files(stand: Stand) -> None:
    if not stand.case.replays_files:
        pytest.skip("this camera draws its own pictures")
    stand.start([0, 1, 2])
    files = {image.tobytes() for image in stand.images}

    for _ in range(5):
        frame = stand.next()
        assert frame.slot is not None
        assert stand.image(frame.slot).tobytes() in files
        stand.source.queue(frame.slot)


def test_without_a_slot_frames_are_missed_visibly(stand: Stand) -> None:
    stand.start([0])
    first = stand.next()

    if stand.case.announcement is Announcement.RING:
        assert stand.source.wait(0.2) is None
        assert first.slot is not None
        stand.source.queue(first.slot)
        assert (stand.next().frame_id or 0) > (first.frame_id or 0) + 1 or stand.source.status()["underruns"] > 0
    else:
        assert stand.next().slot is None


def test_a_halted_source_delivers_the_rest_and_then_nothing(stand: Stand) -> None:
    stand.start([0, 1, 2])
    stand.take(2)
    time.sleep(0.05)

    stand.source.halt()

    deadline = time.monotonic() + PATIENCE_S
    while stand.source.wait(0.02) is not None:
        assert time.monotonic() < deadline
    assert stand.source.wait(0.05) is None


def test_acquisitions_follow_each_other(stand: Stand) -> None:
    for _ in range(3):
        stand.start([0, 1, 2])
        assert len(stand.take(3)) == 3
        stand.stop()


def test_a_closed_source_opens_again(stand: Stand) -> None:
    stand.start([0, 1, 2])
    stand.take(2)
    stand.stop()
    stand.source.close(is_final=False)

    assert stand.source.open() == stand.plan

    stand.start([0, 1, 2])
    assert len(stand.take(3)) == 3


def test_wake_ends_a_wait(stand: Stand) -> None:
    stand.start([])
    if stand.case.announcement is not Announcement.RING:
        stand.source.halt()  # it would deliver frames without a slot
    stand.source.wake()
    began = time.monotonic()

    assert stand.source.wait(PATIENCE_S) is None
    assert time.monotonic() - began < PATIENCE_S / 2


def test_a_probe_finds_a_healthy_source_alive(stand: Stand) -> None:
    stand.start([0, 1, 2])

    for _ in range(5):
        stand.source.probe(time.monotonic_ns())

    assert stand.take(1)


@dataclass(frozen=True)
class Absence:
    """A source that isn't there, and the word its error must name."""

    name: str
    source: dict[str, Any]
    named: str


ABSENCES = (
    Absence("wrong-serial", _viky("auto")(Path()) | {"serial": "nobody"}, "'nobody'"),
    Absence("no-producer", {"kind": "genicam", "serial": "1", "producer": "/nowhere.cti"}, "/nowhere.cti"),
    Absence("no-folder", {"kind": "folder", "images": "/nowhere"}, "/nowhere"),
)


@pytest.mark.parametrize("absence", ABSENCES, ids=lambda absence: absence.name)
def test_an_absent_source_is_missing_not_lost(absence: Absence, tmp_path: Path) -> None:
    camera = CameraConfig.model_validate({"name": "cam0", "source": absence.source})
    source = open_source(camera, tmp_path)

    with pytest.raises(SourceMissing, match=absence.named):
        source.open()

    source.close()


def _viky_path() -> Path:
    return Path(str(_viky("auto")(Path())["producer"]))


def test_a_producer_lists_its_cameras_and_their_features() -> None:
    assert [camera.serial for camera in list_cameras(_viky_path())] == ["0", "1", "2"]

    features = {feature.name: feature for feature in list_features(_viky_path(), "2")}

    assert features["Width"].access == "RW"
    assert features["Width"].kind == "IInteger"
    assert "Mono8" in features["PixelFormat"].entries


def test_a_camera_that_goes_leaves_its_neighbours_open() -> None:
    system = GenicamSystem(_viky_path())
    first, second = (system.open_camera(serial, serial) for serial in ("0", "1"))

    first.release()
    system.rescan()
    again = system.open_camera("0", "0")

    assert second.nodes.read("Width") == again.nodes.read("Width")
    again.release()
    second.release()
    system.close()
