"""Maps a camera's timestamps to the host's CLOCK_MONOTONIC. Pure: every reading is an argument.

Three ways, the best that works; each says how far it may be off:

    TIMESTAMP_LATCH  the camera's clock was read between two host readings, about once a second; the two clocks' rates
                     are compared too, so the mapping holds between the readings
    MIN_DELAY        the smallest (receipt - device timestamp) seen lately: late by the fastest transfer
    RECEIPT          frame receipt minus the configured worst transfer time

A mapping that says "after receipt" or "long before" is not believed: a camera may stamp frames by another clock than
the one that is latched.
"""

from collections import deque
from dataclasses import dataclass

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.messages import ClockSource

CRYSTAL_PPM = 200.0
"""How far two crystals may run apart as long as nothing is measured; typical ones are within 100 ppm each."""
LATCHES = 32
LATCH_LIFE_NS = 60 * NS_PER_S
MIN_DELAY_WINDOW_NS = 30 * NS_PER_S
BELIEVABLE_AGE_NS = 60 * NS_PER_S


@dataclass(frozen=True)
class Mapped:
    """Start of an exposure on CLOCK_MONOTONIC, where it comes from, and how far it may be off."""

    exposed_ns: int
    source: ClockSource
    uncertainty_us: int


@dataclass(frozen=True)
class _Rate:
    """How much faster the host's clock runs, as a fraction, and how far that may be off."""

    value: float = 0.0
    error: float = CRYSTAL_PPM * 1e-6


@dataclass(frozen=True)
class _Latch:
    host_ns: int
    half_width_ns: int
    device_ns: int

    @property
    def offset_ns(self) -> int:
        return self.host_ns - self.device_ns


class DeviceClock:
    """One camera's clock, from its start to its next reset.

    Args:
        transfer_ms: Worst time from exposure to receipt.
    """

    def __init__(self, transfer_ms: float) -> None:
        self._transfer_ns = int(transfer_ms * NS_PER_MS)
        self._latches: deque[_Latch] = deque(maxlen=LATCHES)
        self._model: tuple[_Latch, _Rate] | None = None  # replaced whole: the capture thread maps meanwhile
        self._delays: deque[tuple[int, int]] = deque()
        self._last_device_ns = 0
        self._last_mapped = Mapped(0, ClockSource.RECEIPT, self._transfer_ns // 1000)

    def add_latch(self, before_ns: int, device_ns: int, after_ns: int) -> None:
        """Learn one reading of the camera's clock, taken between two readings of the host's."""
        if self._latches and device_ns < self._latches[-1].device_ns:
            self.reset()
        latch = _Latch((before_ns + after_ns) // 2, max((after_ns - before_ns) // 2, 1), device_ns)
        while self._latches and self._latches[0].host_ns < latch.host_ns - LATCH_LIFE_NS:
            self._latches.popleft()
        self._latches.append(latch)
        rate = self._measure_rate()
        self._model = min(self._latches, key=lambda item: _uncertainty_ns(item, rate, device_ns)), rate

    def reset(self) -> None:
        """Forget everything: the camera was restarted."""
        self._latches.clear()
        self._model = None
        self._delays.clear()
        self._last_device_ns = 0

    def map(self, device_ns: int | None, received_ns: int) -> Mapped:
        """Say when a frame was exposed.

        Args:
            device_ns: The frame's timestamp on the camera's clock; None when it has none.
            received_ns: CLOCK_MONOTONIC at receipt.
        """
        self._last_mapped = self._map(device_ns, received_ns)
        return self._last_mapped

    def status(self) -> dict[str, str | int]:
        """Give `source` and `uncertainty_us` of the last mapping."""
        return {"source": self._last_mapped.source.word, "uncertainty_us": self._last_mapped.uncertainty_us}

    def _map(self, device_ns: int | None, received_ns: int) -> Mapped:
        receipt = Mapped(received_ns - self._transfer_ns, ClockSource.RECEIPT, self._transfer_ns // 1000)
        if device_ns is None:
            return receipt
        latched = self._by_latch(device_ns)
        if latched is not None and _is_believable(latched.exposed_ns, received_ns, latched.uncertainty_us * 1000):
            return Mapped(min(latched.exposed_ns, received_ns), latched.source, latched.uncertainty_us)
        return self._by_min_delay(device_ns, received_ns)

    def _by_latch(self, device_ns: int) -> Mapped | None:
        if self._model is None:
            return None
        best, rate = self._model
        exposed_ns = device_ns + best.offset_ns + round((device_ns - best.device_ns) * rate.value)
        uncertainty_us = -(-_uncertainty_ns(best, rate, device_ns) // 1000)
        return Mapped(exposed_ns, ClockSource.TIMESTAMP_LATCH, uncertainty_us)

    def _by_min_delay(self, device_ns: int, received_ns: int) -> Mapped:
        if device_ns < self._last_device_ns:
            self._delays.clear()
        self._last_device_ns = device_ns
        delay = received_ns - device_ns
        # A queue of rising minima: its head is the least of the window.
        while self._delays and self._delays[-1][1] >= delay:
            self._delays.pop()
        self._delays.append((received_ns, delay))
        while self._delays[0][0] < received_ns - MIN_DELAY_WINDOW_NS:
            self._delays.popleft()
        exposed_ns = min(device_ns + self._delays[0][1], received_ns)
        return Mapped(exposed_ns, ClockSource.MIN_DELAY, self._transfer_ns // 1000)

    def _measure_rate(self) -> _Rate:
        """Compare the rates over the longest span; the error is what both brackets leave open."""
        first, last = self._latches[0], self._latches[-1]
        span_ns = last.device_ns - first.device_ns
        if span_ns <= 0:
            return _Rate()
        error = (first.half_width_ns + last.half_width_ns) / span_ns
        return _Rate((last.offset_ns - first.offset_ns) / span_ns, error) if error < CRYSTAL_PPM * 1e-6 else _Rate()


def _uncertainty_ns(latch: _Latch, rate: _Rate, device_ns: int) -> int:
    return latch.half_width_ns + round(abs(device_ns - latch.device_ns) * rate.error)


def _is_believable(exposed_ns: int, received_ns: int, uncertainty_ns: int) -> bool:
    return received_ns - BELIEVABLE_AGE_NS <= exposed_ns <= received_ns + uncertainty_ns + NS_PER_MS
