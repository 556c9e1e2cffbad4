"""Killed grabbers, lost cameras, orderly ends."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ExitCode
from appliance.messages import Reason, TriggerFlag
from appliance.testing.grabber_rig import CAMERA, SERIAL, TRIGGERED, GrabberRig, simulated, write_images
from appliance.testing.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

IMAGES = 5


def _assert_dense(rig: GrabberRig) -> None:
    """Every pulse from the first to the last trigger has exactly one trigger."""
    triggers = rig.triggers()
    numbers = [trigger.trigger_id for trigger in triggers]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    counted = [trigger for trigger in triggers if TriggerFlag.COUNTED in trigger.flags]
    assert {trigger.encoder_count - trigger.trigger_id for trigger in counted} == {
        counted[0].encoder_count - numbers[0]
    }


def test_frames_survive_in_place_and_equal_the_files(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", IMAGES)
    with GrabberRig(tmp_path, simulated(tmp_path / "images", line_hz=100.0)) as rig:
        rig.start()
        rig.wait_for_frames(50)

        assert rig.status()["announce"] == "ring"
        assert rig.status()["copies_per_frame"] == 0
        for trigger, pixels in rig.frames:
            np.testing.assert_array_equal(pixels, images[trigger.encoder_count % IMAGES])


def test_a_producer_that_keeps_its_memory_costs_one_copy(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", IMAGES)
    source = simulated(tmp_path / "images", line_hz=100.0, announce="producer")
    with GrabberRig(tmp_path, source) as rig:
        rig.start()
        rig.wait_for_frames(50)

        assert rig.status()["announce"] == "producer"
        assert rig.status()["copies_per_frame"] == 1
        for trigger, pixels in rig.frames:
            np.testing.assert_array_equal(pixels, images[trigger.encoder_count % IMAGES])


def test_parts_that_pass_killed_grabbers_each_get_a_trigger(tmp_path: Path) -> None:
    write_images(tmp_path / "images", IMAGES)
    with GrabberRig(tmp_path, simulated(tmp_path / "images", line_hz=100.0)) as rig:
        rig.start()
        for _ in range(3):
            rig.wait_for_frames(10)
            rig.kill()
            rig.start()
        rig.wait_for_frames(10)

        assert rig.frames[-1][0].stream_epoch == 4
        reasons = Counter(rig.reasons())
        assert reasons[Reason.GRABBER_DOWN] > 50
        assert set(reasons) <= {Reason.NONE, Reason.GRABBER_DOWN, Reason.INSPECTOR_DOWN}
        _assert_dense(rig)


def test_a_lost_camera_is_noticed_found_again_and_set_up_again(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", IMAGES)
    features = TRIGGERED | {"ExposureTime": 100.0}
    with GrabberRig(tmp_path, simulated(tmp_path / "images", features=features)) as rig, rig.control() as control:
        rig.start()
        rig.wait_for_frames(5)

        control.inject("disconnect", value=3000)
        rig.wait_for(lambda: rig.status()["state"] == "lost")
        assert SERIAL in rig.status()["problem"]
        rig.wait_for(lambda: rig.status()["state"] == "capturing")
        rig.wait_for_frames(10)

        trigger, pixels = rig.frames[-1]
        assert trigger.stream_epoch == 2
        assert TriggerFlag.FREE_RUNNING not in trigger.flags
        half = images[trigger.encoder_count % IMAGES] / 2  # of the exposure time at power-on
        assert np.abs(pixels - half).max() <= 1
        reasons = Counter(rig.reasons())
        assert reasons[Reason.CAMERA_LOST] > 50
        assert set(reasons) <= {Reason.NONE, Reason.CAMERA_LOST, Reason.INSPECTOR_DOWN}
        assert rig.status()["reconnects"] == 1
        _assert_dense(rig)
        assert rig.process is not None
        rig.process.send_signal(signal.SIGINT)  # harvesters puts a handler of its own in place at each opening
        assert rig.end()[0] == 0


def test_a_grabber_that_takes_over_waits_for_a_camera_that_is_away(tmp_path: Path) -> None:
    write_images(tmp_path / "images", IMAGES)
    with GrabberRig(tmp_path, simulated(tmp_path / "images")) as rig, rig.control() as control:
        rig.start()
        rig.wait_for_frames(5)
        for absent_ms in (6000, 20_000, 50_000):  # a slow machine may have the next grabber up after the camera
            control.inject("disconnect", value=absent_ms)
            rig.wait_for(lambda: rig.status()["state"] == "lost")
            rig.kill()
            rig.start()
            rig.wait_for_frames(5)
            if rig.status()["reconnects"]:
                break

        assert rig.status()["reconnects"] == 1
        assert rig.reasons().count(Reason.GRABBER_DOWN) > 50
        _assert_dense(rig)


def test_a_wrong_serial_number_is_an_error_at_a_fresh_start(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 1)
    source = {"kind": "folder", "images": str(tmp_path / "elsewhere")}
    with GrabberRig(tmp_path, source) as rig:
        rig.spawn()
        status, said = rig.end()

    assert status == ExitCode.SOURCE
    assert "elsewhere" in said
    assert not list((tmp_path / "run").glob("*.sock"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_is_quick_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    write_images(tmp_path / "images", IMAGES)
    with GrabberRig(tmp_path, simulated(tmp_path / "images", line_hz=100.0)) as rig:
        rig.start()
        rig.wait_for_frames(5)
        began = time.monotonic()
        assert rig.process is not None
        os.kill(rig.process.pid, number)
        rig.wait_for(lambda: not rig.reader.is_connected or not rig.reader.connect())
        status, said = rig.end()

        assert (status, said) == (0, "")
        assert time.monotonic() - began < PATIENCE_S / 2
        left = {path.name for path in rig.config.runtime_dir.iterdir()}
        assert left == {"simcam", f"announced.{CAMERA}"}
        with rig.control() as control:
            counters = control.counters()
        received = [trigger for trigger in rig.triggers() if trigger.frame_id]
        assert len(received) == counters.delivered
        assert counters.exposed == counters.delivered + counters.abandoned + counters.underrun + counters.lost


def test_after_an_orderly_end_nobody_asked_for_the_parts_in_between(tmp_path: Path) -> None:
    write_images(tmp_path / "images", IMAGES)
    with GrabberRig(tmp_path, simulated(tmp_path / "images", line_hz=100.0)) as rig:
        rig.start()
        rig.wait_for_frames(5)
        rig.stop()
        rig.start()
        rig.wait_for_frames(5)

        assert Reason.GRABBER_DOWN not in rig.reasons()
        assert rig.frames[-1][0].stream_epoch == 2
