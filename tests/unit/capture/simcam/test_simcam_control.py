import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.capture.simcam.build import SOURCE_FOLDER
from appliance.capture.simcam.control import STATE_BYTES, Fault, FaultKind, SimcamControl
from appliance.errors import ConfigError


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "camera.state"


@pytest.fixture
def control(state: Path) -> Iterator[SimcamControl]:
    with SimcamControl(state) as control:
        yield control


def commands(state: Path) -> list[tuple[int, ...]]:
    """(sequence, kind, count, at_pulse, value) of the used slots."""
    data = state.read_bytes()
    slots = [struct.unpack_from("=QIIQq", data, 1024 + 64 * slot) for slot in range(64)]
    return [slot for slot in slots if slot[0]]


def serve(state: Path, fault: Fault, served: int, missed: int = 0) -> None:
    """What the camera writes as it serves a command."""
    with state.open("r+b") as file:
        file.seek(5120 + 16 * fault.slot)
        file.write(struct.pack("=QII", fault.sequence, served, missed))


def test_a_new_state_file_is_empty_and_belongs_to_this_boot(control: SimcamControl, state: Path) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    assert state.read_bytes()[:24] == b"SIMCAM02" + bytes.fromhex(boot_id)
    assert state.stat().st_size == STATE_BYTES
    assert (control.pulses(), control.pulse_time_ns(1), control.counters().exposed) == (0, None, 0)


def test_opening_again_keeps_commands_and_another_boot_does_not(control: SimcamControl, state: Path) -> None:
    control.inject("black")
    with SimcamControl(state):
        assert len(commands(state)) == 1
    with state.open("r+b") as file:
        file.seek(8)
        file.write(bytes(16))
    with SimcamControl(state):
        assert commands(state) == []


def test_commands_carry_kind_count_pulse_and_value(control: SimcamControl, state: Path) -> None:
    control.inject("late", value=250)
    control.inject(FaultKind.SKIP, count=3, at_pulse=17)
    assert commands(state) == [(1, 4, 1, 2**64 - 1, 250), (2, 6, 3, 17, -(2**63))]


def test_progress_follows_the_camera_and_finished_slots_are_used_again(control: SimcamControl, state: Path) -> None:
    fault = control.inject("lost", count=3)
    assert control.progress(fault) == (0, 0)
    serve(state, fault, 2)
    assert control.progress(fault) == (2, 0)
    assert control.inject("lost").slot != fault.slot
    serve(state, fault, 2, missed=1)
    again = control.inject("black")
    assert (again.slot, again.sequence) == (fault.slot, 3)
    assert control.progress(again) == (0, 0)


def test_a_full_queue_is_said_and_cancel_empties_it(control: SimcamControl) -> None:
    for _ in range(64):
        control.inject("black")
    with pytest.raises(ConfigError, match="64 fault commands wait already"):
        control.inject("black")
    control.cancel()
    control.inject("black")


@pytest.mark.parametrize(
    ("kind", "count", "at_pulse"), [("smoke", 1, None), ("black", 0, None), ("black", 1, -1), ("black", 2**32, None)]
)
def test_impossible_commands_are_refused(control: SimcamControl, kind: str, count: int, at_pulse: int | None) -> None:
    with pytest.raises(ConfigError):
        control.inject(kind, count=count, at_pulse=at_pulse)


def test_pulses_are_arithmetic_on_the_monotonic_clock(control: SimcamControl, state: Path) -> None:
    started_ns, period_ns = time.monotonic_ns(), 10_000_000
    with state.open("r+b") as file:
        file.seek(32)
        file.write(struct.pack("=QQQ", started_ns, period_ns, 6))
    assert control.pulses(started_ns + 9_999_999) == 0
    assert control.pulses(started_ns + 10_000_000) == 1
    assert control.pulses(started_ns + 10**12) == 6
    assert control.pulse_time_ns(3) == started_ns + 30_000_000


def test_kinds_are_numbered_as_in_the_header() -> None:
    header = (SOURCE_FOLDER / "state.h").read_text()
    names = re.findall(r"^    FAULT_(\w+),$", header, re.MULTILINE)
    assert names == ["NONE", *(kind.name for kind in FaultKind), "KINDS"]
