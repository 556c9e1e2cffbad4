"""The simulated line runs on while no process looks, and a camera has one owner among processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from simcam_bench import Bench, GentlCode, Library, make_bench, opened

from appliance.capture.simcam.settings import ENVIRONMENT_NAME

GRABBER = textwrap.dedent(
    """
    import sys
    from simcam_bench import Camera, Library
    camera = Camera(Library(), "SIM-0")
    camera.set(TriggerMode=1, TriggerSource="Line0", Gain=3)
    camera.enable_chunks("CounterValue", "FrameID")
    camera.start()
    while True:
        chunks = camera.next().chunks
        print(int(chunks["FrameID"]), int(chunks["CounterValue"]), flush=True)
    """
)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    return make_bench(tmp_path, {"line_hz": 100.0})


def _start_grabber() -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-c", GRABBER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_the_edge_counter_runs_on_through_kill_9_and_frame_ids_restart(bench: Bench) -> None:
    with _start_grabber() as grabber:
        assert grabber.stdout is not None
        lines = [grabber.stdout.readline().split() for _ in range(5)]
        library = Library()
        with pytest.raises(GentlCode, match="another process"):
            library.call("IFOpenDevice", library.interface, b"SIM-0", 4, os.urandom(8))
        library.close()
        grabber.send_signal(signal.SIGKILL)
    last = int(lines[-1][1])
    assert [int(frame_id) for frame_id, _ in lines] == [1, 2, 3, 4, 5]
    with bench.control() as control:
        while control.pulses() < last + 4:  # nobody looks, the line runs
            time.sleep(0.001)
    with opened(bench) as camera, bench.control() as control:
        assert (camera.get("TriggerMode"), camera.get("Gain"), camera.get("TLParamsLocked")) == (1, 3.0, 0)
        before = control.pulses()
        counted = int(camera.get("CounterValue"))
        assert before <= counted <= control.pulses()
        assert counted >= last + 4
        camera.start()
        frame = camera.next()
        assert frame.frame_id == 1
        assert frame.chunks["CounterValue"] > last
        pulse_ns = control.pulse_time_ns(int(frame.chunks["CounterValue"]))
        assert pulse_ns is not None
        assert control.counters().opens == 2


def test_the_line_waits_for_the_first_acquisition_then_stops_after_its_pulses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "cameras.txt"))
    bench = make_bench(tmp_path, {"line_hz": 200.0, "line_pulses": 4, "encoder_steps_per_pulse": 10})
    with opened(bench) as camera, bench.control() as control:
        assert (camera.get("CounterValue"), control.pulses()) == (0, 0)
        camera.set(TriggerMode=1, TriggerSource="Line0")
        camera.enable_chunks("CounterValue", "EncoderValue")
        camera.start()
        frames = [camera.next() for _ in range(4)]
        with pytest.raises(GentlCode):
            camera.wait(timeout_ms=30)
        assert [frame.chunks for frame in frames] == [
            {"CounterValue": count, "EncoderValue": 10 * count} for count in (1, 2, 3, 4)
        ]
        assert (camera.get("CounterValue"), camera.get("EncoderValue"), control.pulses()) == (4, 40, 4)


def test_falling_edge_triggers_half_a_period_later(bench: Bench) -> None:
    with opened(bench) as camera, bench.control() as control:
        camera.set(TriggerMode=1, TriggerSource="Line0", TriggerActivation=1)
        camera.enable_chunks("CounterValue", "LineStatusAll")
        camera.start()
        frames = [camera.next() for _ in range(3)]
        assert control.pulses() >= 3
    assert [frame.chunks["CounterValue"] for frame in frames] == [1, 2, 3]
    assert {frame.chunks["LineStatusAll"] for frame in frames} == {0}


def test_another_line_in_the_settings_starts_a_new_count(bench: Bench) -> None:
    with opened(bench) as camera:
        camera.set(TriggerMode=1, TriggerSource="Line0")
        camera.start()
        for _ in range(3):
            camera.next()
    faster = make_bench(bench.folder, {"line_hz": 250.0})
    with opened(faster) as camera:
        assert camera.get("CounterValue") == 0
