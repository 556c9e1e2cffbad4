import re
import time
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_S, boot_id, rfc3339, wall_from_monotonic
from appliance.counters import LatencyWindow, RateMeter, percentile


@given(st.integers(0, 4 * 10**18))
def test_wall_time_is_rfc_3339_utc_with_microseconds(unix_ns: int) -> None:
    text = rfc3339(unix_ns)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    seconds = int(datetime.fromisoformat(text).replace(microsecond=0).timestamp())
    assert seconds == unix_ns // NS_PER_S


def test_now_on_both_clocks_is_the_same_moment() -> None:
    now = datetime.fromisoformat(wall_from_monotonic(time.monotonic_ns()))
    assert abs(now.timestamp() - time.time()) < 1


def test_the_boot_id_is_16_bytes_and_stays() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_percentiles_are_values_that_were_seen(values: list[float]) -> None:
    ordered = sorted(values)
    assert percentile(ordered, 0) == ordered[0]
    assert percentile(ordered, 100) == ordered[-1]
    assert percentile(ordered, 50) in ordered


def test_a_window_forgets_what_is_old() -> None:
    window = LatencyWindow(size=3)
    for value in (1000.0, 1.0, 2.0, 3.0):
        window.add(value)
    assert window.summary() == {"p50": 2.0, "p99": 3.0}
    assert LatencyWindow().summary() == {"p50": 0.0, "p99": 0.0}


def test_a_rate_is_per_second_over_the_window() -> None:
    meter = RateMeter(window_s=2.0)
    for step in range(41):
        meter.add(step * NS_PER_S // 10)
    assert abs(meter.per_second(4 * NS_PER_S) - 10) < 1
    assert meter.per_second(60 * NS_PER_S) == 0
