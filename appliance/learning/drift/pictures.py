"""Pictures that show what an alarm is about: the newest that deviate most, and some as the reference has them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from appliance.learning.drift.comparison import Comparison
from appliance.learning.drift.signals import CLASS_RATE, NG_RATE, SCALES, UNKNOWN_RATE, Sample

MOST_STORED, MOST_MISSING = 4, 2
Picture = dict[str, Any]
"""Keys as `contracts.record.DriftPicture`."""


def deviating(samples: Sequence[Sample], comparison: Comparison) -> list[Picture]:
    """Choose views that deviate most from what is expected: stored ones, and what stands out more but isn't stored.

    Of equal ones the newest come first: of a rate that has risen those that count, of one that has fallen those that
    don't.
    """
    current, expected = comparison.current or 0.0, comparison.expected or 0.0
    known = [(value, one) for one in samples if (value := one.value_of(comparison.signal)) is not None]
    if comparison.signal in SCALES:
        known = [(abs(value - expected), one) for value, one in known]
        most = max((deviation for deviation, _ in known), default=0.0)
        known = [found for found in known if found[0] >= most / 2]  # a window may begin with parts as they should be
    else:
        known = [(value, one) for value, one in known if value == float(current >= expected)]
    stored = heapq.nlargest(MOST_STORED, (one for one in known if one[1].path is not None), key=_rank)
    missing = heapq.nlargest(MOST_MISSING, (one for one in known if one[1].path is None), key=_rank)
    if len(stored) == MOST_STORED:  # of what isn't stored only what stands out more
        missing = [one for one in missing if one[0] > stored[-1][0]]
    return [_shown(one, comparison.signal) for _, one in sorted([*stored, *missing], key=_rank, reverse=True)]


def typical(examples: Iterable[Picture], comparison: Comparison) -> list[Picture]:
    """Choose the examples that are nearest to what is expected."""
    expected = comparison.expected or 0.0
    known = [(_value(one, comparison.signal), one) for one in examples]
    near = heapq.nsmallest(
        MOST_STORED,
        ((abs(value - expected), -one["seq"], value, one) for value, one in known if value is not None),
        key=lambda found: found[:2],
    )
    return [
        {key: one[key] for key in ("seq", "captured_at", "verdict")} | {"value": round(value, 4), "path": one["path"]}
        for _, _, value, one in near
    ]


def _rank(found: tuple[float, Sample]) -> tuple[float, int]:
    return found[0], found[1].seq


def _shown(sample: Sample, signal: str) -> Picture:
    return {
        "seq": sample.seq,
        "captured_at": sample.captured_at,
        "verdict": sample.verdict,
        "value": round(sample.value_of(signal) or 0.0, 4),
        "path": sample.path,
    }


def _value(example: Picture, signal: str) -> float | None:
    if signal in SCALES:
        value: float | None = example["values"].get(signal)
        return value
    counts = {
        NG_RATE: example["verdict"] == "NG",
        UNKNOWN_RATE: example["verdict"] == "UNKNOWN",
    }
    return float(counts.get(signal, signal.removeprefix(CLASS_RATE) in example["classes"]))
