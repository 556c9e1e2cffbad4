"""Small measuring instruments for status: a rate over the last seconds, percentiles over the last values."""

from collections import deque
from collections.abc import Sequence

from appliance.clock import NS_PER_S


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Pick the nearest-rank percentile of values in ascending order; 0.0 when there are none."""
    if not ordered:
        return 0.0
    rank = round(percent / 100 * (len(ordered) - 1))
    return ordered[rank]


class LatencyWindow:
    """The last `size` latencies in milliseconds; add is O(1), reading sorts."""

    def __init__(self, size: int = 2000) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, latency_ms: float) -> None:
        """Remember one latency."""
        self._values.append(latency_ms)

    def summary(self) -> dict[str, float]:
        """Give `p50` and `p99` in ms, rounded to the microsecond."""
        ordered = sorted(self._values)
        return {name: round(percentile(ordered, p), 3) for name, p in (("p50", 50.0), ("p99", 99.0))}


class RateMeter:
    """Events per second over the last `window_s` seconds of monotonic time."""

    def __init__(self, window_s: float = 3.0) -> None:
        self._window_ns = int(window_s * NS_PER_S)
        self._times: deque[int] = deque(maxlen=100_000)

    def add(self, now_ns: int) -> None:
        """Count one event."""
        self._times.append(now_ns)

    def per_second(self, now_ns: int) -> float:
        """Give the rate over the window; a meter that is younger than its window divides by its age."""
        while self._times and self._times[0] < now_ns - self._window_ns:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        span_ns = max(now_ns - self._times[0], 1)
        return round(len(self._times) * NS_PER_S / span_ns, 2)
