"""The camera's clock mapped to the host's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capture.device_clock import DeviceClock
from appliance.messages import ClockSource

MS = 1_000_000
S = 1_000_000_000
HOST_NS = 500 * S


class Crystal:
    """A camera's clock that runs `ppm` faster than the host's and showed `device_ns` at HOST_NS."""

    def __init__(self, ppm: float, device_ns: int = 7 * S) -> None:
        self._rate = 1 + ppm * 1e-6
        self._device_ns = device_ns

    def at(self, host_ns: int) -> int:
        return self._device_ns + round((host_ns - HOST_NS) * self._rate)


def _latched(crystal: Crystal, seconds: int, bracket_ns: int = 60_000) -> DeviceClock:
    clock = DeviceClock(transfer_ms=5)
    for second in range(seconds):
        host_ns = HOST_NS + second * S
        # The reading falls anywhere inside the bracket.
        clock.add_latch(host_ns - bracket_ns // 3, crystal.at(host_ns), host_ns + 2 * bracket_ns // 3)
    return clock


@given(
    ppm=st.floats(-100, 100), seconds=st.integers(1, 40), ahead_ms=st.integers(0, 1500), delay_us=st.integers(0, 20_000)
)
def test_a_latched_clock_is_off_by_no_more_than_it_says(ppm: float, seconds: int, ahead_ms: int, delay_us: int) -> None:
    crystal = Crystal(ppm)
    clock = _latched(crystal, seconds)
    exposed_ns = HOST_NS + (seconds - 1) * S + ahead_ms * MS

    mapped = clock.map(crystal.at(exposed_ns), exposed_ns + delay_us * 1000)

    assert mapped.source is ClockSource.TIMESTAMP_LATCH
    assert abs(mapped.exposed_ns - exposed_ns) <= mapped.uncertainty_us * 1000 + 1000


def test_uncertainty_shrinks_once_the_drift_is_measured() -> None:
    crystal = Crystal(80)
    early, late = _latched(crystal, 1), _latched(crystal, 20)
    at_ns = HOST_NS + 20 * S

    first = early.map(crystal.at(at_ns), at_ns + MS)
    measured = late.map(crystal.at(at_ns), at_ns + MS)

    assert measured.uncertainty_us < 100 < first.uncertainty_us


def test_strong_drift_is_followed() -> None:
    crystal = Crystal(900)
    clock = _latched(crystal, 10)
    at_ns = HOST_NS + 10 * S

    mapped = clock.map(crystal.at(at_ns), at_ns + MS)

    assert abs(mapped.exposed_ns - at_ns) < 100_000


def test_a_clock_that_started_over_is_learned_anew() -> None:
    clock = _latched(Crystal(0), 10)
    restarted = Crystal(0, device_ns=1000)
    at_ns = HOST_NS + 20 * S
    clock.add_latch(at_ns - 10_000, restarted.at(at_ns) - 19 * S, at_ns + 10_000)

    mapped = clock.map(restarted.at(at_ns) - 19 * S + 5 * MS, at_ns + 6 * MS)

    assert mapped.source is ClockSource.TIMESTAMP_LATCH
    assert abs(mapped.exposed_ns - (at_ns + 5 * MS)) < 20_000


def test_without_latches_the_fastest_transfer_is_the_measure() -> None:
    clock, crystal = DeviceClock(transfer_ms=5), Crystal(0)
    delays_ms = [4, 2, 9, 3]

    errors_ms = []
    for number, delay_ms in enumerate(delays_ms):
        exposed_ns = HOST_NS + number * 100 * MS
        mapped = clock.map(crystal.at(exposed_ns), exposed_ns + delay_ms * MS)
        assert mapped.source is ClockSource.MIN_DELAY
        errors_ms.append((mapped.exposed_ns - exposed_ns) / MS)

    assert errors_ms == [4, 2, 2, 2]


def test_a_min_delay_ages_out_so_that_drift_cannot_freeze_it() -> None:
    clock, crystal = DeviceClock(transfer_ms=5), Crystal(-100)
    for second in range(0, 300, 2):
        exposed_ns = HOST_NS + second * S
        mapped = clock.map(crystal.at(exposed_ns), exposed_ns + 2 * MS)

    assert abs(mapped.exposed_ns - exposed_ns) < 6 * MS


def test_min_delay_starts_over_with_the_camera() -> None:
    clock = DeviceClock(transfer_ms=5)
    clock.map(50 * S, HOST_NS)
    mapped = clock.map(1 * S, HOST_NS + S)

    assert mapped.exposed_ns == HOST_NS + S


def test_without_timestamps_the_worst_transfer_is_assumed() -> None:
    mapped = DeviceClock(transfer_ms=5).map(None, HOST_NS)

    assert mapped.source is ClockSource.RECEIPT
    assert mapped.exposed_ns == HOST_NS - 5 * MS
    assert mapped.uncertainty_us == 5000


@pytest.mark.parametrize("offset_s", [-3600, 3600])
def test_timestamps_of_another_clock_than_the_latched_one_are_not_believed(offset_s: int) -> None:
    crystal = Crystal(0)
    clock = _latched(crystal, 5)
    received_ns = HOST_NS + 5 * S

    mapped = clock.map(crystal.at(received_ns) + offset_s * S + 3700 * S, received_ns)

    assert mapped.source is ClockSource.MIN_DELAY
    assert mapped.exposed_ns <= received_ns


@given(device_ns=st.integers(0, 2**63), received_ns=st.integers(HOST_NS, 2 * HOST_NS))
def test_nothing_is_exposed_after_it_was_received(device_ns: int, received_ns: int) -> None:
    clock = _latched(Crystal(50), 3)

    assert clock.map(device_ns, received_ns).exposed_ns <= received_ns
