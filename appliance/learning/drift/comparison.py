"""The statistic: how far the present is from what it should be like, and how far it may be.

    signal on a scale, last week    Kolmogorov-Smirnov distance of the two distributions, small shifts forgiven
    signal on a scale, training     share of views outside the range of 98 % of the training pictures, a tenth wider:
                                    what the model saw may be more than one line shows; a part of it is no drift
    rate, last week                 difference of the two rates

Against chance stands a limit that independent parts exceed once in a million looks. But consecutive parts are no
independent draws: lots differ, and daylight. So last week is also held against itself, window by window: tolerance and
limit are such that none of its windows would have raised an alarm, with a quarter to spare. Windows on which an alarm
stood don't count there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from appliance.config import DriftConfig
from appliance.learning.drift.bucket import Bucket, together
from appliance.learning.drift.rates import difference_margin
from appliance.learning.drift.scale import TOLERANCE_BINS, Histogram, distance, outside_share, quantile
from appliance.learning.drift.signals import CLASS_RATE, LIGHT, NG_RATE, SCALES, SCORE, UNKNOWN_RATE

TRAINING: Final = "training"
LAST_WEEK: Final = "last_week"
_CHANCE = 1e-6  # with some hundred comparisons an hour: less than one a year on independent parts
_Z = 4.892  # the same chance, two-sided
_RANGE = (0.01, 0.99)
_WIDER = 0.1  # of the range's width, on each side
_NEAR, _MARGIN = 0.7, 1.25
_FEWEST_PICTURES = 30
_LIGHT = {*LIGHT, UNKNOWN_RATE}
"""Signals that depend on no model."""


@dataclass(frozen=True)
class Comparison:
    """One signal against one reference.

    Attributes:
        value: How far it is; None where nothing can be compared, and `trouble` says why.
        limit: From where on it is drift.
        current, expected: Median of the signal, or rate, now and in the reference.
        samples: Views that `current` rests on; reference_samples: views or pictures of the reference.
    """

    signal: str
    reference: Literal["training", "last_week"]
    measure: Literal["distance", "outside_share", "difference"]
    value: float | None = None
    limit: float | None = None
    current: float | None = None
    expected: float | None = None
    samples: int = 0
    reference_samples: int = 0
    trouble: str | None = None

    @property
    def is_out(self) -> bool:
        """Whether it is drift."""
        return self.value is not None and self.limit is not None and self.value >= self.limit

    def is_back(self, clear_at: float) -> bool:
        """Whether it is so far from drift that an alarm ends."""
        return self.value is not None and self.limit is not None and self.value <= clear_at * self.limit


@dataclass(frozen=True)
class LastWeek:
    """What the present is compared with.

    Attributes:
        light: Of all models and rules: pictures don't depend on them.
        judged: By the model and rules in use.
        own: How far last week's own windows were from last week as a whole: of a signal on a scale the tolerance in
            bins, of a rate the difference.
        hours: That have any parts.
    """

    light: Bucket = field(default_factory=Bucket)
    judged: Bucket = field(default_factory=Bucket)
    own: Mapping[str, float] = field(default_factory=dict)
    hours: int = 0

    @classmethod
    def of(cls, light: Sequence[Bucket], judged: Sequence[Bucket], limit: float) -> LastWeek:
        """Add hours up.

        Args:
            light, judged: Hours, with their specimens.
            limit: Of distances.
        """
        week = cls(together(light), together(judged), hours=len(light))
        own: dict[str, float] = {}
        for name in (*SCALES, NG_RATE, UNKNOWN_RATE, *(f"{CLASS_RATE}{one}" for one in week.judged.classes)):
            bucket = week.bucket_of(name)
            windows = [one.window for one in bucket.specimens if name not in one.alarmed]
            own[name] = _tolerance(name, windows, bucket, limit) if name in SCALES else _spread(name, windows, bucket)
        return replace(week, own=own)

    def bucket_of(self, signal: str) -> Bucket:
        """Give the one that a signal is looked up in."""
        return self.light if signal in _LIGHT else self.judged


@dataclass(frozen=True)
class Training:
    """What the training pictures were like.

    Attributes:
        histograms: By signal.
        lowest_score: What the recipe keeps no detection below: weaker scores can't be told from none.
        highest_score: What a good part can't reach: the highest of the recipe's scores.
    """

    histograms: Mapping[str, Histogram]
    lowest_score: float = 0.0
    highest_score: float = 1.0

    def range_of(self, signal: str) -> tuple[int, int] | None:
        """Give the bins of the range that 98 % of the pictures lie in; None where there are too few."""
        histogram = self.histograms.get(signal, Histogram())
        if histogram.total() < _FEWEST_PICTURES:
            return None
        low, high = (quantile(histogram, share) for share in _RANGE)
        assert low is not None, "it isn't empty"
        assert high is not None, "it isn't empty"
        if signal != SCORE:
            wider = math.ceil(_WIDER * (high - low))
            return max(0, low - wider), high + wider
        bins = SCALES[SCORE]
        return 0, max(min(high, bins.bin_of(self.highest_score)), bins.bin_of(self.lowest_score))


def compare(
    window: Bucket, last_week: LastWeek, training: Training | None, settings: DriftConfig, no_training: str
) -> list[Comparison]:
    """Hold the present against both references, signal by signal.

    Args:
        no_training: Why `training` is None.
    """
    told: list[Comparison] = []
    for signal in SCALES:
        now = window.histograms.get(signal, Histogram())
        told.append(_against_training(signal, now, training, settings, no_training))
        told.append(_against_last_week(signal, now, last_week, settings))
    classes = sorted(window.classes.keys() | last_week.judged.classes.keys())
    rates = (NG_RATE, UNKNOWN_RATE, *(f"{CLASS_RATE}{name}" for name in classes))
    return told + [_rate(name, window, last_week, settings) for name in rates]


def _against_training(
    signal: str, now: Histogram, training: Training | None, settings: DriftConfig, no_training: str
) -> Comparison:
    pictures = training.histograms.get(signal, Histogram()) if training is not None else Histogram()
    told = Comparison(
        signal,
        TRAINING,
        "outside_share",
        current=_median(signal, now),
        expected=_median(signal, pictures),
        samples=now.total(),
        reference_samples=pictures.total(),
    )
    if training is None:
        return replace(told, trouble=no_training)
    ends = training.range_of(signal)
    if ends is None:
        return replace(told, trouble=f"{pictures.total()} training pictures, {_FEWEST_PICTURES} are needed")
    if now.total() < settings.window_parts:
        return replace(told, trouble=_too_few(now.total(), settings))
    inside = _RANGE[1] - _RANGE[0]
    chance = (1 - inside) + _Z * math.sqrt(inside * (1 - inside) / now.total())
    return replace(told, value=outside_share(now, *ends), limit=max(settings.outside_share_limit, chance))


def _against_last_week(signal: str, now: Histogram, last_week: LastWeek, settings: DriftConfig) -> Comparison:
    before = last_week.bucket_of(signal).histograms.get(signal, Histogram())
    told = Comparison(
        signal,
        LAST_WEEK,
        "distance",
        current=_median(signal, now),
        expected=_median(signal, before),
        samples=now.total(),
        reference_samples=before.total(),
    )
    if trouble := _trouble(told, last_week, settings):
        return replace(told, trouble=trouble)
    chance = math.sqrt(math.log(2 / _CHANCE) / 2 * (1 / now.total() + 1 / before.total()))
    tolerance = round(last_week.own.get(signal, TOLERANCE_BINS))
    return replace(told, value=distance(now, before, tolerance), limit=max(settings.distance_limit, chance))


def _rate(name: str, window: Bucket, last_week: LastWeek, settings: DriftConfig) -> Comparison:
    now, before = window.rate(name), last_week.bucket_of(name).rate(name)
    told = Comparison(
        name,
        LAST_WEEK,
        "difference",
        current=_share(now),
        expected=_share(before),
        samples=now[1],
        reference_samples=before[1],
    )
    if trouble := _trouble(told, last_week, settings):
        return replace(told, trouble=trouble)
    rate, usual = now[0] / now[1], before[0] / before[1]
    factor = settings.rate_factor - 1 if rate > usual else 1 - 1 / settings.rate_factor
    matters = max(settings.rate_difference_min, factor * usual)
    limit = max(matters, difference_margin(now, before, _Z), last_week.own.get(name, 0.0))
    return replace(told, value=abs(rate - usual), limit=limit)


def _tolerance(signal: str, windows: Sequence[Bucket], week: Bucket, limit: float) -> int:
    """Find the tolerance with which no window of a week would have been near an alarm; a quarter more, in bins."""
    whole = week.histograms.get(signal, Histogram())
    tolerance = TOLERANCE_BINS
    for window in windows:
        own = window.histograms.get(signal, Histogram())
        while distance(own, whole, tolerance) > _NEAR * limit:
            tolerance += 1
    return tolerance if tolerance == TOLERANCE_BINS else math.ceil(_MARGIN * tolerance)


def _spread(rate: str, windows: Sequence[Bucket], week: Bucket) -> float:
    """Say how far the rates of a week's windows were from the whole week's; a quarter more."""
    count, total = week.rate(rate)
    own = [part[0] / part[1] for part in (one.rate(rate) for one in windows) if part[1] and total]
    return _MARGIN * max((abs(one - count / total) for one in own), default=0.0)


def _trouble(told: Comparison, last_week: LastWeek, settings: DriftConfig) -> str | None:
    if last_week.hours < settings.reference_hours_min:
        return f"last week has {last_week.hours} of the {settings.reference_hours_min} hours that are needed"
    if told.reference_samples < settings.reference_parts_min:
        return f"last week has {told.reference_samples} of the {settings.reference_parts_min} parts that are needed"
    return _too_few(told.samples, settings) if told.samples < settings.window_parts else None


def _too_few(now: int, settings: DriftConfig) -> str:
    return f"{now} of the {settings.window_parts} parts of a window so far"


def _median(signal: str, histogram: Histogram) -> float | None:
    place = quantile(histogram, 0.5)
    return None if place is None else round(SCALES[signal].middle_of(place) if place else 0.0, 4)


def _share(count: tuple[int, int]) -> float | None:
    return round(count[0] / count[1], 6) if count[1] else None
