"""The simulated camera's data stream, by ctypes alone: buffers, pixels, triggers, counts."""

import ctypes
import gc
import threading
import time
from ctypes import byref, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from simcam_bench import (
    ABORT,
    BUFFER_TOO_SMALL,
    INVALID_HANDLE,
    IO,
    TIMEOUT,
    Bench,
    Camera,
    GentlCode,
    Image,
    Library,
    make_bench,
    opened,
    settled,
)

from appliance.capture.simcam.settings import ENVIRONMENT_NAME
from appliance.testing.patience import PATIENCE_S


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    return make_bench(tmp_path, {"frame_rate_hz": 100.0}, {"line_hz": 100.0})


def test_frames_arrive_in_memory_of_ours_in_the_order_of_the_images(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.start()
        frames = [camera.next() for _ in range(7)]
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4, 5, 6, 7]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image(), bench.packs[0].image(index))
        assert not frame.is_incomplete
        assert frame.size_filled == 96 * 64
    stamps = [frame.timestamp_ns or 0 for frame in frames]
    assert np.diff(stamps).tolist() == [10_000_000] * 6


def test_a_buffer_the_application_holds_is_never_written(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.start(buffers=3)
        held = camera.describe(camera.wait())
        held.payload[:] = 0x5A
        for _ in range(6):
            camera.next()
        assert (held.payload == 0x5A).all()
        assert camera.number(held.buffer, 5) == 0  # BUFFER_INFO_IS_QUEUED


def test_line_pulses_trigger_and_are_counted_in_every_chunk(bench: Bench) -> None:
    with opened(bench, 1) as camera:
        camera.set(TriggerMode=1, TriggerSource="Line0")
        camera.enable_chunks()
        camera.start()
        frames = [camera.next() for _ in range(6)]
        assert camera.payload_bytes == 96 * 64 + 8 + 6 * 16
    counts = [int(frame.chunks["CounterValue"]) for frame in frames]
    assert counts == list(range(counts[0], counts[0] + 6))
    for frame, count in zip(frames, counts, strict=True):
        np.testing.assert_array_equal(frame.image(), bench.packs[1].image(count))
        assert frame.chunks["FrameID"] == frame.frame_id
        assert frame.chunks["Timestamp"] == frame.timestamp_ns
        assert frame.chunks["EncoderValue"] == count
        assert frame.chunks["ExposureTime"] == 200.0
        assert frame.chunks["LineStatusAll"] == 1


def test_software_trigger_exposes_once_each_and_a_trigger_while_busy_is_skipped(bench: Bench) -> None:
    with opened(bench) as camera, bench.control() as control:
        camera.set(TriggerMode=1, TriggerSource="Software", ExposureTime=200_000)
        camera.start()
        camera.set(TriggerSoftware=1)
        camera.set(TriggerSoftware=1)
        assert camera.next().frame_id == 1
        with pytest.raises(GentlCode) as caught:
            camera.wait(timeout_ms=20)
        assert caught.value.code == TIMEOUT
        assert control.counters().skipped == 1
        assert control.counters().exposed == 1


def test_a_line_faster_than_the_sensor_skips_pulses_without_a_frame_id_gap(bench: Bench) -> None:
    with opened(bench, 1) as camera, bench.control(1) as control:
        camera.set(TriggerMode=1, TriggerSource="Line0", ExposureTime=12_000)  # the line's period is 10 ms
        camera.enable_chunks("CounterValue")
        camera.start()
        frames = [camera.next() for _ in range(4)]
        camera.stop()
        counters = control.counters()
    counts = [int(frame.chunks["CounterValue"]) for frame in frames]
    assert np.diff(counts).tolist() == [2, 2, 2]
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4]
    assert counters.skipped >= 3
    assert counters.exposed + counters.skipped == counters.last_pulse


def test_without_a_queued_buffer_the_frame_is_lost_counted_and_leaves_a_gap(bench: Bench) -> None:
    with opened(bench) as camera, bench.control() as control:
        camera.start(buffers=2)
        first, second = camera.wait(), camera.wait()
        while camera.underruns < 3:
            time.sleep(0.002)
        lost = camera.underruns
        camera.queue(first)
        third = camera.describe(camera.wait())
        camera.queue(second)
        camera.stop()
        counters = settled(control)
    assert third.frame_id is not None
    assert third.frame_id - 2 - 1 >= lost >= 3
    assert counters.underrun >= lost


def test_multi_frame_acquisition_ends_by_itself_and_frame_ids_restart(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.set(AcquisitionMode="MultiFrame", AcquisitionFrameCount=3)
        for _ in range(2):
            camera.start()
            assert [camera.next().frame_id for _ in range(3)] == [1, 2, 3]
            with pytest.raises(GentlCode):
                camera.wait(timeout_ms=30)
            camera.stop()


@dataclass(frozen=True)
class FormatCase:
    """What pixel format makes of a source image."""

    name: str
    channels: int
    pixel_format: str


def _expected(case: FormatCase, source: Image) -> Image:
    grey = source
    if source.ndim == 3:
        weighted = source.astype(np.uint32) @ np.array([77, 150, 29], np.uint32)
        grey = ((weighted + 128) >> 8).astype(np.uint8)
    if case.pixel_format == "Mono16":
        return (grey.astype("<u2") * 257).view(np.uint8).ravel()
    if case.pixel_format == "RGB8":
        return (source if source.ndim == 3 else np.repeat(grey[:, :, np.newaxis], 3, 2)).ravel()
    if case.pixel_format == "BayerRG8" and source.ndim == 3:
        mosaic = source[:, :, 1].copy()
        mosaic[::2, ::2] = source[::2, ::2, 0]
        mosaic[1::2, 1::2] = source[1::2, 1::2, 2]
        return mosaic.ravel()
    return grey.ravel()


FORMAT_CASES = [
    FormatCase(f"{form} of {'colour' if channels == 3 else 'grey'}", channels, form)
    for form in ("Mono8", "Mono16", "RGB8", "BayerRG8")
    for channels in (1, 3)
]


@pytest.mark.parametrize("case", FORMAT_CASES, ids=lambda case: case.name)
def test_pixel_formats_are_exact(case: FormatCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    bench = make_bench(tmp_path, {"frame_rate_hz": 200.0}, channels=case.channels)
    with opened(bench) as camera:
        camera.set(PixelFormat=case.pixel_format)
        camera.start()
        for index in range(2):
            frame = camera.next()
            expected = _expected(case, bench.packs[0].image(index))
            assert frame.size_filled == expected.size
            np.testing.assert_array_equal(frame.payload, expected)


def test_a_region_of_interest_is_cut_from_the_image(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.set(Width=32, Height=16, OffsetX=8, OffsetY=20)
        camera.start()
        buffer = camera.wait()
        assert (camera.number(buffer, 12), camera.number(buffer, 13)) == (8, 20)
        camera.queue(buffer)
        np.testing.assert_array_equal(camera.next().image(), bench.packs[0].image(1)[20:36, 8:40])


def test_exposure_and_gain_scale_brightness_and_saturate(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.set(ExposureTime=400)
        camera.start()
        doubled = camera.next()
        camera.stop()
        camera.set(ExposureTime=200, Gain=6)
        camera.start()
        gained = camera.next()
    source = bench.packs[0].image(0).astype(float)
    np.testing.assert_array_equal(doubled.image(), np.minimum(255, source * 2).astype(np.uint8))
    np.testing.assert_array_equal(
        gained.image(), np.minimum(255, np.floor(source * 10 ** (6 / 20) + 0.5)).astype(np.uint8)
    )


def test_two_cameras_run_at_once_with_clocks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    make_bench(
        tmp_path,
        {"frame_rate_hz": 100.0, "clock_offset_ns": 10**12},
        {"frame_rate_hz": 50.0, "drift_ppm": 1000.0},
    )
    library = Library()
    try:
        assert library.device_ids() == ["SimCam_SIM-0", "SimCam_SIM-1"]
        cameras = [Camera(library, "SIM-0"), Camera(library, "SIM-1")]
        for camera in cameras:
            camera.start()
        fast, slow = ([camera.next() for _ in range(4)] for camera in cameras)
    finally:
        library.close()
    assert fast[0].timestamp_ns is not None
    assert 10**12 <= fast[0].timestamp_ns < 10**12 + 60 * 10**9
    steps = np.diff([frame.timestamp_ns or 0 for frame in slow])
    np.testing.assert_allclose(steps, 20_020_000, atol=2)


def test_a_camera_opens_once(bench: Bench) -> None:
    with opened(bench) as camera, pytest.raises(GentlCode, match="open in this process"):
        Camera(camera.library, "SIM-0")


def test_features_lock_while_acquiring(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.start()
        with pytest.raises(GentlCode, match="locked"):
            camera.set(Width=32)
        camera.set(ExposureTime=300)
        camera.stop()
        camera.set(Width=32)


def test_impossible_values_are_refused_and_leave_the_feature_alone(bench: Bench) -> None:
    with opened(bench) as camera:
        for feature, value in (("Width", 97), ("Width", 0), ("OffsetX", 4), ("ExposureTime", float("nan"))):
            with pytest.raises(GentlCode, match="refuses"):
                camera.set(**{feature: value})
        with pytest.raises(GentlCode):
            camera.set(PixelFormat=17)
        assert (camera.get("Width"), camera.get("ExposureTime")) == (96, 200.0)


def test_device_reset_takes_the_camera_away_and_forgets_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    make_bench(tmp_path, {"boot_ms": 50.0})
    library = Library()
    try:
        camera = Camera(library, "SIM-0")
        camera.set(ExposureTime=5000)
        camera.set(DeviceReset=1)
        with pytest.raises(GentlCode) as caught:
            camera.get("ExposureTime")
        assert caught.value.code == IO
        camera.close()
        deadline = time.monotonic() + PATIENCE_S
        while not library.device_ids():
            assert time.monotonic() < deadline
        again = Camera(library, "SIM-0")
        assert again.get("ExposureTime") == 200.0
    finally:
        library.close()


def test_features_outlive_the_host_as_long_as_the_camera_has_power(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.set(ExposureTime=777)
    with opened(bench) as camera:
        assert camera.get("ExposureTime") == 777
        camera.set(UserSetLoad=1)
        assert camera.get("ExposureTime") == 200.0


def test_timestamp_latch_reads_the_clock_that_stamps_frames(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.start()
        before = camera.next().timestamp_ns or 0
        camera.set(TimestampLatch=1)
        latched = camera.get("TimestampLatchValue")
        after = [camera.next() for _ in range(2)][-1].timestamp_ns or 0
    assert before < float(latched) < after + 20_000_000


def test_event_kill_wakes_a_waiter(bench: Bench) -> None:
    with opened(bench) as camera:
        codes: list[int] = []

        def wait() -> None:
            try:
                camera.wait(timeout_ms=30_000)
            except GentlCode as error:
                codes.append(error.code)

        waiter = threading.Thread(target=wait)
        waiter.start()
        camera.library.call("EventKill", camera.event)
        waiter.join(5)
        assert codes == [ABORT]


def test_closing_the_library_sends_a_waiter_away(bench: Bench) -> None:
    codes: list[int] = []
    entered = threading.Event()
    with opened(bench) as camera:

        def wait() -> None:
            entered.set()
            try:
                camera.wait(timeout_ms=30_000)
            except GentlCode as error:
                codes.append(error.code)

        waiter = threading.Thread(target=wait)
        waiter.start()
        entered.wait()
    waiter.join(5)
    assert not waiter.is_alive()
    assert codes in ([ABORT], [INVALID_HANDLE])


def test_stale_and_made_up_handles_are_refused(bench: Bench) -> None:
    with opened(bench) as camera:
        library, stream = camera.library, camera.stream
        camera.announce(2)
        buffer = camera.buffers[0]
        library.call("DSFlushQueue", stream, 4)
        library.call("DSRevokeBuffer", stream, buffer, None, None)
        size = c_size_t(8)
        assert library.code("DSQueueBuffer", stream, buffer) == INVALID_HANDLE
        assert library.code("DSQueueBuffer", stream, 0xDEADBEEF) == INVALID_HANDLE
        assert library.code("DSGetInfo", None, 1, None, None, byref(size)) == INVALID_HANDLE
        assert library.code("DSGetInfo", camera.device, 1, None, None, byref(size)) == INVALID_HANDLE
        library.call("DSClose", stream)
        assert library.code("DSFlushQueue", stream, 4) == INVALID_HANDLE
        assert library.code("EventKill", camera.event) == INVALID_HANDLE


def test_sizes_are_checked_and_asked_for(bench: Bench) -> None:
    with opened(bench) as camera:
        library = camera.library
        library.device_ids()
        size = c_size_t(0)
        library.call("IFGetDeviceID", library.interface, 0, None, byref(size))
        assert size.value == len("SimCam_SIM-0") + 1
        small = ctypes.create_string_buffer(4)
        size = c_size_t(4)
        code = library.code("IFGetDeviceID", library.interface, 0, small, byref(size))
        assert code == BUFFER_TOO_SMALL
        assert "13 bytes needed" in library.last_error()
        assert library.code("EventGetData", camera.event, byref(c_void_p()), byref(c_size_t(8)), 0) == BUFFER_TOO_SMALL


def test_a_buffer_too_small_for_the_payload_is_incomplete_and_never_overrun(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.announce(2, size=96 * 40)
        camera.start()
        buffer = camera.wait()
        assert camera.number(buffer, 29) == 1  # BUFFER_INFO_DATA_LARGER_THAN_BUFFER
        camera.queue(buffer)
        frame = camera.next()
    assert frame.is_incomplete
    assert frame.size_filled == 96 * 40
    np.testing.assert_array_equal(frame.payload.reshape(40, 96), bench.packs[0].image(1)[:40])


def test_the_producers_own_buffers_work_too(bench: Bench) -> None:
    with opened(bench) as camera:
        for _ in range(4):
            buffer = c_void_p()
            camera.library.call("DSAllocAndAnnounceBuffer", camera.stream, camera.payload_bytes, None, byref(buffer))
            camera.buffers.append(int(buffer.value or 0))
            camera.queue(camera.buffers[-1])
        camera.start()
        np.testing.assert_array_equal(camera.next().image(), bench.packs[0].image(0))
        camera.stop()


def test_flush_moves_buffers_between_the_pools(bench: Bench) -> None:
    queued, awaiting = 4, 5  # STREAM_INFO commands
    with opened(bench) as camera:
        camera.announce(4)
        assert (camera.info(queued), camera.info(awaiting)) == (4, 0)
        camera.library.call("DSFlushQueue", camera.stream, 0)
        assert (camera.info(queued), camera.info(awaiting)) == (0, 4)
        camera.library.call("DSFlushQueue", camera.stream, 2)
        assert (camera.info(queued), camera.info(awaiting)) == (4, 0)
        camera.library.call("DSFlushQueue", camera.stream, 4)
        assert (camera.info(queued), camera.info(awaiting)) == (0, 0)
        camera.library.call("DSFlushQueue", camera.stream, 3)
        assert camera.info(queued) == 4


def test_queue_flush_and_stop_race_with_a_waiter_without_losing_a_buffer(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.set(AcquisitionFrameRateEnable=0)
        for _ in range(10):
            camera.start(buffers=4)
            waiter = threading.Thread(target=lambda: [camera.queue(camera.wait()) for _ in range(12)])
            waiter.start()
            for _ in range(20):
                camera.info(4)
            waiter.join(10)
            assert not waiter.is_alive()
            camera.set(AcquisitionStop=1, TLParamsLocked=0)
            camera.library.call("DSStopAcquisition", camera.stream, 0)
            camera.library.call("DSFlushQueue", camera.stream, 4)
            camera.library.call("DSFlushQueue", camera.stream, 3)
            assert camera.info(4) == 4
            camera.stop_stream()
    gc.collect()


def test_an_unknown_key_in_the_settings_is_said_where_the_application_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cameras.txt").write_text("[camera A]\nline_herz = 3\n")
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    with pytest.raises(GentlCode, match=r"line 2: unknown key 'line_herz'"):
        Library()
    assert "unknown key 'line_herz'" in capfd.readouterr().err


def test_without_settings_there_are_no_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_NAME, raising=False)
    library = Library()
    assert library.device_ids() == []
    library.close()
