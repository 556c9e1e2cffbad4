"""Percentiles as benchmarks print them."""

from collections.abc import Iterable

from appliance.counters import percentile


def p50_p99(values_ms: Iterable[float]) -> dict[str, float]:
    """Give `p50` and `p99`, rounded to the microsecond."""
    ordered = sorted(values_ms)
    return {name: round(percentile(ordered, rank), 3) for name, rank in (("p50", 50.0), ("p99", 99.0))}
