"""Months of simulated lines: nothing is said of those that stay as they are, and what changes is said soon."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.config import DriftConfig
from appliance.learning.drift.bucket import Bucket, Specimen
from appliance.learning.drift.comparison import Comparison, LastWeek, Training, compare
from appliance.learning.drift.scale import Histogram
from appliance.learning.drift.signals import SCALES

SETTINGS = DriftConfig()
WINDOW = SETTINGS.window_parts
WEEK_HOURS, GAP_HOURS = 24 * SETTINGS.reference_days, SETTINGS.reference_gap_hours
Values = NDArray[np.float64]
DIGITS = {"brightness": 0, "score": 2}


def histogram(signal: str, values: Values) -> Histogram:
    places, counts = np.unique(
        [SCALES[signal].bin_of(value) for value in values.round(DIGITS[signal])], return_counts=True
    )
    return Counter(dict(zip(places.tolist(), counts.tolist(), strict=True)))


@dataclass
class Line:
    """A line that makes one window of parts an hour; each hour's light wanders, part by part.

    Attributes:
        memory: Of the light from hour to hour, 0..1; its share of all variation is what parts have in common.
        light, ng_rate, near: By hour: shift in standard deviations; rate of rejects; share of parts with a near miss.
    """

    seed: int = 1
    memory: float = 0.0
    common: float = 0.0
    light: Callable[[int], float] = lambda _: 0.0
    ng_rate: Callable[[int], float] = lambda _: 0.02
    near: Callable[[int], float] = lambda _: 0.3
    _wander: float = 0.0
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def hour(self, number: int) -> Bucket:
        random = self._random
        self._wander = self.memory * self._wander + np.sqrt(1 - self.memory**2) * random.normal()
        own = np.sqrt(1 - self.common**2) * random.normal(size=WINDOW)
        light = self.common * self._wander + own + self.light(number)
        near = np.where(random.random(WINDOW) < self.near(number), random.beta(2, 6, WINDOW), 0)
        ng = int((random.random(WINDOW) < self.ng_rate(number)).sum())
        return Bucket(
            {"brightness": histogram("brightness", 120 + 4 * light), "score": histogram("score", near)},
            Counter(OK=WINDOW - ng, NG=ng),
            Counter(burr=ng),
        )


def watched(line: Line, hours: int, training: Training | None = None) -> Iterator[tuple[int, Comparison]]:
    """Yield what drifts, with its hour; hour 0 is the first with a whole week before it."""
    week = LastWeek()
    kept: deque[Bucket] = deque(maxlen=WEEK_HOURS + GAP_HOURS)
    for number in range(-WEEK_HOURS - GAP_HOURS, hours):
        bucket = line.hour(number)
        if number >= 0:
            if number % 24 == 0:  # each hour it would be as good, and slower
                reference = list(kept)[:WEEK_HOURS]
                week = LastWeek.of(reference, reference, SETTINGS.distance_limit)
            told = compare(bucket, week, training, SETTINGS, "none given")
            yield from ((number, one) for one in told if one.is_out)
        bucket.specimens.append(Specimen(Bucket(bucket.histograms, bucket.verdicts, bucket.classes), frozenset()))
        kept.append(bucket)


def training_of(line: Line) -> Training:
    hours = [line.hour(-9999) for _ in range(4)]
    histograms = {name: sum((one.histograms[name] for one in hours), Counter()) for name in ("brightness", "score")}
    return Training(histograms, lowest_score=0.1, highest_score=0.9)


LINES = {
    "independent parts": Line(seed=3),
    "parts that wander together for hours": Line(seed=4, memory=0.7, common=0.8),
    "parts under daylight": Line(seed=5, light=lambda hour: 1.5 * np.sin(hour * np.pi / 12)),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_stays_as_it_is_raises_nothing_in_thirty_days(name: str) -> None:
    alarms = [(hour, one.signal, one.value, one.limit) for hour, one in watched(LINES[name], 30 * 24)]
    assert alarms == []


CHANGES = {
    "a lamp at half its light": (Line(light=lambda hour: -15 if hour >= 5 else 0), "brightness", 5),
    "a shift of one and a half deviations": (Line(light=lambda hour: -1.5 if hour >= 5 else 0), "brightness", 5),
    "a lamp that fails in a day": (Line(light=lambda hour: -max(0, hour) / 6), "brightness", 9),
    "four times as many rejects": (Line(ng_rate=lambda hour: 0.08 if hour >= 5 else 0.02), "ng_rate", 5),
    "near misses in most parts": (Line(near=lambda hour: 0.8 if hour >= 5 else 0.3), "score", 5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_by_the_first_window_that_shows_it(name: str) -> None:
    line, signal, latest = CHANGES[name]
    first = next(
        (hour, one.signal) for hour, one in watched(line, latest + 3, training_of(Line())) if one.signal == signal
    )
    assert first[0] <= latest
