"""One real grabber, one simulated camera that misbehaves on command: each fault ends in the right trigger."""

from collections.abc import Iterator

import pytest

from appliance.capture.simcam.control import SimcamControl
from appliance.messages import Reason, TriggerFlag
from appliance.testing.grabber_rig import GrabberRig, simulated, write_images

IMAGES = 7
SLOTS = 64  # 1.6 s of the line: so long this process may get no processor


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrabberRig]:
    folder = tmp_path_factory.mktemp("faults")
    write_images(folder / "images", IMAGES)
    with GrabberRig(folder, simulated(folder / "images", line_hz=40.0), slots=SLOTS) as rig:
        rig.start()
        rig.wait_for_frames(5)
        yield rig


@pytest.fixture
def control(rig: GrabberRig) -> Iterator[SimcamControl]:
    with rig.control() as control:
        yield control


FAULTS = (
    ("incomplete", Reason.INCOMPLETE_FRAME, "incomplete"),
    ("wrong_size", Reason.INCOMPLETE_FRAME, "incomplete"),
    ("lost", Reason.LOST_FRAME, "lost"),
    ("skip", Reason.MISSED_TRIGGER, "missed"),
    ("duplicate_frame_id", Reason.STALE_FRAME, "stale"),
)


@pytest.mark.parametrize(("fault", "reason", "counter"), FAULTS, ids=[fault for fault, _, _ in FAULTS])
def test_a_fault_becomes_its_trigger_and_is_counted(
    rig: GrabberRig, control: SimcamControl, fault: str, reason: Reason, counter: str
) -> None:
    before = len(rig.triggers())
    counted = rig.status()[counter]

    control.inject(fault, count=3)
    rig.wait_for(lambda: rig.reasons()[before:].count(reason) >= 3)
    rig.wait_for_frames(5)

    bad = [trigger for trigger in rig.triggers()[before:] if trigger.reason is not Reason.NONE]
    assert [trigger.reason for trigger in bad] == [reason] * 3
    rig.wait_for(lambda: rig.status()[counter] == counted + 3)


def test_every_pulse_has_its_trigger_in_order(rig: GrabberRig, control: SimcamControl) -> None:
    for fault in ("lost", "skip", "incomplete"):
        control.inject(fault, count=2)
        rig.wait_for_frames(10)

    triggers = [trigger for trigger in rig.triggers() if TriggerFlag.COUNTED in trigger.flags]

    counts = [trigger.encoder_count for trigger in triggers]
    numbers = [trigger.trigger_id for trigger in triggers]
    assert [count - counts[0] for count in counts] == [number - numbers[0] for number in numbers]


def test_no_doubtful_frame_reaches_the_inspector(rig: GrabberRig) -> None:
    announced = {trigger.trigger_id: trigger.reason for trigger in rig.triggers()}

    assert len(rig.frames) > 50
    assert {announced[trigger.trigger_id] for trigger, _ in rig.frames} == {Reason.NONE}
    assert len({trigger.trigger_id for trigger, _ in rig.frames}) == len(rig.frames)


def test_an_inspector_that_keeps_its_frames_makes_ring_full_not_silence(rig: GrabberRig) -> None:
    before = len(rig.triggers())
    rig.reader.connect()
    kept = []

    def keep() -> bool:
        kept.extend(rig.reader.receive())
        return rig.reasons()[before:].count(Reason.RING_FULL) >= 5

    pixels = []
    try:
        while not keep():
            pass
        pixels = [lease.pixels.copy() for lease in kept]
        while rig.reasons()[before:].count(Reason.RING_FULL) < SLOTS + 10:  # more frames than the ring has slots
            pass
        assert all((lease.pixels == copy).all() for lease, copy in zip(kept, pixels, strict=True))
    finally:
        for lease in kept:
            lease.release()
    rig.wait_for_frames(20)
    assert rig.reasons()[-5:].count(Reason.RING_FULL) == 0
    assert len(kept) == SLOTS - 2  # all slots but the two a camera always has


def test_the_clock_is_latched_and_close(rig: GrabberRig, control: SimcamControl) -> None:
    rig.wait_for_frames(1)
    trigger = rig.frames[-1][0]
    pulse_ns = control.pulse_time_ns(trigger.encoder_count)

    assert pulse_ns is not None
    assert trigger.clock_source.word == "timestamp_latch"
    assert abs(trigger.exposed_ns - pulse_ns) < 1_000_000


def test_without_an_inspector_triggers_say_so(rig: GrabberRig) -> None:
    rig.reader.close()
    before = len(rig.triggers())

    while rig.reasons()[before:].count(Reason.INSPECTOR_DOWN) < 5:
        pass

    rig.wait_for_frames(5)  # it is back
    assert rig.reasons()[-1] is Reason.NONE
    rig.reader.close()  # the last test of this grabber: its descriptors must be those from before
