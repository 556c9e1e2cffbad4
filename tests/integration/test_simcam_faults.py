"""Every fault the simulated camera can be told to suffer, and what the host sees of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from simcam_bench import IO, TIMEOUT, Bench, Camera, Frame, GentlCode, Library, make_bench, opened, settled

from appliance.capture.simcam.control import FaultKind, SimcamControl
from appliance.capture.simcam.settings import ENVIRONMENT_NAME
from appliance.testing.patience import PATIENCE_S

HEIGHT, WIDTH = 64, 96


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    return make_bench(tmp_path, {"line_hz": 200.0})


@pytest.fixture
def control(bench: Bench) -> Iterator[SimcamControl]:
    with bench.control() as control:
        yield control


@pytest.fixture
def camera(bench: Bench, control: SimcamControl) -> Iterator[Camera]:
    """Triggered by the line; pulse 3 is the first that a test bends."""
    with opened(bench) as camera:
        camera.set(TriggerMode=1, TriggerSource="Line0")
        camera.enable_chunks("CounterValue")
        yield camera


def frames_until(camera: Camera, pulse: int) -> dict[int, Frame]:
    """Frames by their pulse, as the camera's counter tells it, up to a pulse."""
    frames: dict[int, Frame] = {}
    while not frames or max(frames) < pulse:
        frame = camera.next()
        frames[int(frame.chunks.get("CounterValue", -len(frames)))] = frame
    return frames


def drain(camera: Camera, timeout_ms: int) -> int:
    """Take frames until none comes for a while; returns how many."""
    taken = 0
    try:
        while True:
            camera.next(timeout_ms=timeout_ms)
            taken += 1
    except GentlCode as error:
        if error.code != TIMEOUT:
            raise
    return taken


def test_lost_leaves_a_frame_id_gap_and_no_frame(camera: Camera, control: SimcamControl) -> None:
    control.inject("lost", count=2, at_pulse=3)
    camera.start()
    frames = frames_until(camera, 6)
    assert list(frames) == [1, 2, 5, 6]
    assert [frame.frame_id for frame in frames.values()] == [1, 2, 5, 6]
    assert control.counters().lost == 2


def test_skip_counts_the_pulse_and_leaves_neither_frame_nor_gap(camera: Camera, control: SimcamControl) -> None:
    control.inject("skip", at_pulse=3)
    camera.start()
    frames = frames_until(camera, 5)
    assert list(frames) == [1, 2, 4, 5]
    assert [frame.frame_id for frame in frames.values()] == [1, 2, 3, 4]
    assert control.counters().skipped == 1


def test_incomplete_is_flagged_and_its_missing_rows_are_stale(camera: Camera, control: SimcamControl) -> None:
    control.inject("incomplete", at_pulse=3, value=25)
    camera.start()
    frames = [camera.next() for _ in range(4)]
    assert [frame.is_incomplete for frame in frames] == [False, False, True, False]
    assert frames[2].size_filled == WIDTH * HEIGHT // 4
    assert not frames[2].has_chunks
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4]


def test_wrong_size_is_not_flagged(camera: Camera, control: SimcamControl) -> None:
    control.inject(FaultKind.WRONG_SIZE, at_pulse=3)
    camera.start()
    frame = [camera.next() for _ in range(3)][-1]
    assert not frame.is_incomplete
    assert frame.size_filled == WIDTH * HEIGHT // 2
    assert not frame.has_chunks


def test_late_is_delivered_late_and_stamped_in_time(camera: Camera, control: SimcamControl) -> None:
    control.inject("late", at_pulse=3, value=60)
    camera.start(buffers=40)  # the frames behind the late one arrive in one burst
    frames_until(camera, 2)
    frame = camera.next()
    due_ns = control.pulse_time_ns(3)
    assert due_ns is not None
    assert time.monotonic_ns() - due_ns >= 60_000_000
    following = frames_until(camera, 15)
    stamps = [frame.timestamp_ns or 0, *(after.timestamp_ns or 0 for after in following.values())]
    assert set(np.diff(stamps).tolist()) == {5_000_000}


def test_black_and_saturated_pictures_are_whole_frames(camera: Camera, control: SimcamControl) -> None:
    control.inject("black", at_pulse=2)
    control.inject("saturated", at_pulse=3)
    camera.start()
    frames = frames_until(camera, 3)
    assert (frames[2].image() == 0).all()
    assert (frames[3].image() == 255).all()
    assert not frames[2].is_incomplete


def test_frozen_repeats_the_picture_under_a_new_id_and_time(
    camera: Camera, control: SimcamControl, bench: Bench
) -> None:
    control.inject("frozen", at_pulse=3, count=2)
    camera.start()
    frames = frames_until(camera, 5)
    for pulse in (2, 3, 4):
        np.testing.assert_array_equal(frames[pulse].image(), bench.packs[0].image(2))
    np.testing.assert_array_equal(frames[5].image(), bench.packs[0].image(5))
    assert frames[3].frame_id == 3
    assert (frames[3].timestamp_ns or 0) - (frames[2].timestamp_ns or 0) == 5_000_000


def test_blur_takes_the_detail_and_keeps_the_brightness(camera: Camera, control: SimcamControl, bench: Bench) -> None:
    control.inject("blur", at_pulse=3, value=4)
    camera.start()
    sharp, soft = bench.packs[0].image(3).astype(float), frames_until(camera, 3)[3].image().astype(float)
    assert soft.std() < sharp.std() / 5
    assert abs(soft.mean() - sharp.mean()) < 2
    window = sharp[20:29, 30:39].mean()
    assert abs(soft[24, 34] - window) <= 1.5


def test_truncated_lacks_the_lower_half_and_claims_to_be_complete(
    camera: Camera, control: SimcamControl, bench: Bench
) -> None:
    control.inject("truncated", at_pulse=3)
    camera.start()
    frame = frames_until(camera, 3)[3]
    np.testing.assert_array_equal(frame.image()[:32], bench.packs[0].image(3)[:32])
    assert (frame.image()[32:] == 0).all()
    assert not frame.is_incomplete
    assert frame.size_filled == camera.payload_bytes


def test_a_duplicate_frame_id_shifts_no_other(camera: Camera, control: SimcamControl) -> None:
    control.inject("duplicate_frame_id", at_pulse=3)
    camera.start()
    frames = frames_until(camera, 5)
    assert [frame.frame_id for frame in frames.values()] == [1, 2, 2, 3, 4]


def test_unbound_faults_hit_one_exposure_each_in_order(camera: Camera, control: SimcamControl) -> None:
    control.inject("saturated")
    control.inject("black")
    camera.start()
    frames = frames_until(camera, 3)
    assert [int(frame.image().mean()) for frame in frames.values()][:2] == [255, 0]
    assert frames[3].image().std() > 10


def test_a_fault_bound_to_a_pulse_that_went_by_unexposed_is_missed(camera: Camera, control: SimcamControl) -> None:
    camera.start()
    frames_until(camera, 4)
    passed = control.inject("black", at_pulse=1, count=2)
    ahead = control.inject("black", at_pulse=control.pulses() + 20)
    last = frames_until(camera, control.pulses() + 22)
    assert control.progress(passed) == (0, 2)
    assert control.progress(ahead) == (1, 0)
    assert sum((frame.image() == 0).all() for frame in last.values()) == 1
    assert control.counters().faults_served["black"] == 1


def test_disconnect_silences_the_camera_until_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    bench = make_bench(tmp_path, {"line_hz": 200.0}, {"frame_rate_hz": 100.0})
    library = Library()
    try:
        control = bench.control()
        camera, other = Camera(library, "SIM-0"), Camera(library, "SIM-1")
        other.start()
        camera.set(TriggerMode=1, TriggerSource="Line0", ExposureTime=300)
        camera.start()
        first_stamp = camera.next().timestamp_ns
        fault = control.inject("disconnect", at_pulse=control.pulses() + 20, value=400)
        while control.progress(fault) == (0, 0):
            time.sleep(0.001)
        assert control.progress(fault) == (1, 0)
        drain(camera, timeout_ms=20)
        for access in (lambda: camera.get("ExposureTime"), lambda: camera.set(ExposureTime=5)):
            with pytest.raises(GentlCode) as caught:
                access()
            assert caught.value.code == IO
        assert library.device_ids() == ["SimCam_SIM-1"]
        camera.stop_stream()
        camera.close()
        with pytest.raises(GentlCode, match="disconnected"):
            Camera(library, "SIM-0")
        other.next()
        while "SimCam_SIM-0" not in library.device_ids():
            other.next()
        again = Camera(library, "SIM-0")
        assert (again.get("TriggerMode"), again.get("ExposureTime")) == (0, 200.0)
        pulses_before = int(again.get("CounterValue"))
        assert pulses_before >= 80  # the line ran on for the 400 ms
        again.set(TriggerMode=1, TriggerSource="Line0")
        again.start()
        frame = again.next()
        assert frame.frame_id == 1
        assert frame.timestamp_ns is not None
        assert first_stamp is not None
        assert control.counters().power_cycles == 1
        control.close()
    finally:
        library.close()


def test_disconnect_without_a_pulse_happens_at_once(bench: Bench, camera: Camera, control: SimcamControl) -> None:
    fault = control.inject("disconnect", value=10_000)
    deadline = time.monotonic() + PATIENCE_S
    while control.progress(fault) == (0, 0):
        assert time.monotonic() < deadline
    with pytest.raises(GentlCode):
        camera.get("Width")
    assert camera.library.device_ids() == []


def test_what_the_camera_counts_adds_up_to_what_the_host_saw(camera: Camera, control: SimcamControl) -> None:
    control.inject("lost", at_pulse=4)
    control.inject("skip", at_pulse=6)
    control.inject("incomplete", at_pulse=8)
    camera.start()
    delivered = 0
    while control.counters().last_pulse < 20:
        camera.next()
        delivered += 1
    camera.set(AcquisitionStop=1)
    camera.library.call("DSStopAcquisition", camera.stream, 0)
    delivered += drain(camera, timeout_ms=0)
    counters = settled(control)
    assert counters.delivered == delivered
    assert counters.exposed + counters.skipped == counters.last_pulse
    assert (counters.lost, counters.underrun) == (1, 0)
    assert {kind: count for kind, count in counters.faults_served.items() if count} == {
        "lost": 1,
        "skip": 1,
        "incomplete": 1,
    }
