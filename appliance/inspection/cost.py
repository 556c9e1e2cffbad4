"""How long a batch will take: learned from the last runs, per batch size."""

from dataclasses import dataclass

_GAIN = 1 / 8  # weights of RFC 6298's round-trip estimate: quick to follow, slow to forget a spread
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 2


@dataclass
class _Estimate:
    mean_ns: float
    deviation_ns: float = 0.0

    def learn(self, took_ns: int) -> None:
        error = took_ns - self.mean_ns
        self.mean_ns += _GAIN * error
        self.deviation_ns += _DEVIATION_GAIN * (abs(error) - self.deviation_ns)


class BatchCost:
    """Expected time of a batch, from its size; a size that never ran is guessed in proportion to its neighbour."""

    def __init__(self) -> None:
        self._estimates: dict[int, _Estimate] = {}

    def learn(self, size: int, took_ns: int) -> None:
        """Remember how long a batch of `size` frames took, from its start to its last finding."""
        if size in self._estimates:
            self._estimates[size].learn(took_ns)
        else:
            self._estimates[size] = _Estimate(float(took_ns))

    def mean_ns(self, size: int) -> int:
        """Give the usual time; 0 while nothing was learned."""
        known, scale = self._nearest(size)
        return int(known.mean_ns * scale) if known else 0

    def cautious_ns(self, size: int) -> int:
        """Give a time that most batches keep: the usual one plus twice the usual deviation."""
        known, scale = self._nearest(size)
        return int((known.mean_ns + _DEVIATIONS * known.deviation_ns) * scale) if known else 0

    def _nearest(self, size: int) -> tuple[_Estimate | None, float]:
        if size in self._estimates:
            return self._estimates[size], 1.0
        if not self._estimates:
            return None, 0.0
        nearest = min(self._estimates, key=lambda known: (abs(known - size), known))
        return self._estimates[nearest], size / nearest
