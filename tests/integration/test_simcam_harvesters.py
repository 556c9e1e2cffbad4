"""The simulated camera through harvesters: the node map, plain fetches, chunks by the node map."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simcam_bench import Bench, make_bench, producer_path

from appliance.capture.simcam.settings import ENVIRONMENT_NAME

harvesters = pytest.importorskip("harvesters.core")
genapi = pytest.importorskip("genicam.genapi")

CHUNKS = ("FrameID", "Timestamp", "ExposureTime", "CounterValue", "EncoderValue", "LineStatusAll")
Acquirer = Any
CreateAcquirer = Callable[[str], Acquirer]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    return make_bench(tmp_path, {"frame_rate_hz": 100.0, "line_hz": 100.0}, {"model": "Other"})


@pytest.fixture
def create(bench: Bench) -> Iterator[CreateAcquirer]:
    harvester = harvesters.Harvester()
    harvester.add_file(str(producer_path()))
    harvester.update()
    acquirers = []

    def by_serial(serial: str) -> Acquirer:
        acquirers.append(harvester.create({"serial_number": serial}))
        return acquirers[-1]

    yield by_serial
    for acquirer in acquirers:
        acquirer.destroy()
    harvester.reset()


def _fetch_image(acquirer: Acquirer) -> tuple[int, np.ndarray[Any, Any]]:
    with acquirer.fetch(timeout=2) as buffer:
        component = buffer.payload.components[0]
        return buffer.module.frame_id, component.data.reshape(component.height, component.width).copy()


def test_discovery_names_both_cameras(create: CreateAcquirer) -> None:
    nodes = create("SIM-1").remote_device.node_map
    assert nodes.DeviceVendorName.value == "Appliance SimCam"
    assert nodes.DeviceModelName.value == "Other"
    assert nodes.DeviceSerialNumber.value == "SIM-1"


def test_features_round_trip_within_their_limits(create: CreateAcquirer) -> None:
    nodes = create("SIM-0").remote_device.node_map
    assert (nodes.Width.value, nodes.Width.min, nodes.Width.max, nodes.Width.inc) == (96, 4, 96, 4)
    nodes.Width.value = 64
    assert nodes.OffsetX.max == 32
    nodes.OffsetX.value = 32
    assert nodes.Width.max == 64
    assert nodes.PayloadSize.value == 64 * 64
    for name in ("Mono16", "RGB8", "BayerRG8", "Mono8"):
        nodes.PixelFormat.value = name
        assert nodes.PixelFormat.value == name
    for name, value in (
        ("ExposureTime", 123.5),
        ("Gain", 3.0),
        ("AcquisitionFrameRate", 55.5),
        ("AcquisitionFrameRateEnable", False),
        ("TriggerDelay", 10.0),
        ("TriggerSelector", "FrameStart"),
        ("TriggerMode", "On"),
        ("TriggerSource", "Line0"),
        ("TriggerActivation", "FallingEdge"),
        ("LineSelector", "Line0"),
        ("CounterSelector", "Counter0"),
        ("AcquisitionMode", "MultiFrame"),
        ("AcquisitionFrameCount", 7),
        ("DeviceUserID", "left of the belt"),
        ("UserSetSelector", "Default"),
    ):
        getattr(nodes, name).value = value
        assert getattr(nodes, name).value == value, name
    nodes.UserSetLoad.execute()
    assert (nodes.Width.value, nodes.TriggerMode.value, nodes.ExposureTime.value) == (96, "Off", 200.0)
    assert nodes.DeviceUserID.value == "left of the belt"
    assert nodes.CounterValue.value == 0


def test_every_feature_of_the_tree_can_be_read(create: CreateAcquirer) -> None:
    nodes = create("SIM-0").remote_device.node_map
    read = 0
    for name in dir(nodes):
        if not name[0].isupper() or (name.startswith("Chunk") and name not in {"ChunkModeActive", "ChunkSelector"}):
            continue
        node = getattr(nodes, name)
        if hasattr(node, "value"):
            mode = node.get_access_mode()
            if mode in {genapi.EAccessMode.RO, genapi.EAccessMode.RW}:
                assert node.value is not None, name
                read += 1
    assert read > 40


def test_width_locks_while_acquiring(create: CreateAcquirer) -> None:
    acquirer = create("SIM-0")
    nodes = acquirer.remote_device.node_map
    acquirer.start()
    _fetch_image(acquirer)
    assert nodes.Width.get_access_mode() == genapi.EAccessMode.RO
    assert nodes.ExposureTime.get_access_mode() == genapi.EAccessMode.RW
    acquirer.stop()
    assert nodes.Width.get_access_mode() == genapi.EAccessMode.RW


def test_free_running_frames_are_the_images_in_order(create: CreateAcquirer, bench: Bench) -> None:
    acquirer = create("SIM-0")
    acquirer.num_buffers = 8
    for _ in range(2):
        acquirer.start()
        for index in range(4):
            frame_id, image = _fetch_image(acquirer)
            assert frame_id == index + 1
            np.testing.assert_array_equal(image, bench.packs[0].image(index))
        acquirer.stop()


def test_software_trigger_by_the_node_map(create: CreateAcquirer, bench: Bench) -> None:
    acquirer = create("SIM-0")
    nodes = acquirer.remote_device.node_map
    nodes.TriggerMode.value = "On"
    nodes.TriggerSource.value = "Software"
    acquirer.start()
    for index in range(3):
        nodes.TriggerSoftware.execute()
        frame_id, image = _fetch_image(acquirer)
        assert frame_id == index + 1
        np.testing.assert_array_equal(image, bench.packs[0].image(index))
    acquirer.stop()


def test_harvesters_parses_the_chunks_of_line_triggered_frames(create: CreateAcquirer, bench: Bench) -> None:
    acquirer = create("SIM-0")
    nodes = acquirer.remote_device.node_map
    nodes.TriggerMode.value = "On"
    nodes.TriggerSource.value = "Line0"
    nodes.ChunkModeActive.value = True
    for name in CHUNKS:
        nodes.ChunkSelector.value = name
        nodes.ChunkEnable.value = True
    acquirer.start()
    for _ in range(4):
        with acquirer.fetch(timeout=2) as buffer:
            component = buffer.payload.components[0]
            image = component.data.reshape(component.height, component.width)
            count = nodes.ChunkCounterValue.value
            np.testing.assert_array_equal(image, bench.packs[0].image(count))
            assert nodes.ChunkFrameID.value == buffer.module.frame_id
            assert nodes.ChunkTimestamp.value == buffer.timestamp_ns
            assert nodes.ChunkExposureTime.value == 200.0
            assert nodes.ChunkEncoderValue.value == count
            assert nodes.ChunkLineStatusAll.value == 1
    acquirer.stop()


def test_update_reads_the_settings_anew(bench: Bench) -> None:
    harvester = harvesters.Harvester()
    harvester.add_file(str(producer_path()))
    harvester.update()
    assert len(harvester.device_info_list) == 2
    make_bench(bench.folder, {}, {}, {})
    harvester.update()
    assert len(harvester.device_info_list) == 3
    harvester.reset()
