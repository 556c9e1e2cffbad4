"""What is watched, and how one record says it: a sample for each view of a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.learning.drift.scale import Scale
from appliance.records.row import unix_us

LIGHT = {"brightness": "mean_grey", "saturation": "saturated_fraction", "sharpness": "sharpness"}
"""Signals of the picture alone, and their names in a record's evidence."""
SCORE = "score"
"""Highest score of a view that was judged OK, near misses included: how near good parts come to be rejected."""
SCALES = {
    "brightness": Scale(2.0, unit="grey values"),
    "saturation": Scale(0.01, unit="share of white pixels"),
    "sharpness": Scale(1.05, lowest=0.05, unit="grey values between neighbours"),
    SCORE: Scale(0.02, unit="highest score of OK parts"),
}
NG_RATE, UNKNOWN_RATE, CLASS_RATE = "ng_rate", "unknown_rate", "class_rate:"

StreamKey = tuple[str, str, str]
"""Recipe, camera, view."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One view of one part.

    Attributes:
        judged_by: Model and rules, by the first digits of their hashes: different ones' scores and rates don't compare.
        values: Signals on a scale; what wasn't measured is missing.
        verdict: The view's own.
        classes: Of its defects.
        path: Its stored picture, relative to the image directory; None where none is stored.
    """

    stream: StreamKey
    judged_by: str
    seq: int
    at_us: int
    captured_at: str
    values: dict[str, float]
    verdict: str
    classes: frozenset[str]
    path: str | None

    def counts_in(self, rate: str) -> bool:
        """Tell whether it is one of those that a rate counts."""
        if rate == NG_RATE:
            return self.verdict == "NG"
        if rate == UNKNOWN_RATE:
            return self.verdict == "UNKNOWN"
        return rate.removeprefix(CLASS_RATE) in self.classes

    def value_of(self, signal: str) -> float | None:
        """Give a signal's value; of a rate 1 or 0; None where it wasn't measured."""
        return self.values.get(signal) if signal in SCALES else float(self.counts_in(signal))


def samples_of(record: Mapping[str, Any]) -> Iterator[Sample]:
    """Read a journal record's views; of other kinds than inspections, and of those whose recipe is lost, none."""
    if record["kind"] != "inspection" or record["recipe"] is None:
        return
    model, recipe = record["model"], record["recipe"]
    judged_by = f"{model['sha256'][:12] if model else 'none'}.{recipe['sha256'][:12]}"
    at_us = unix_us(record["captured_at"])
    paths = {one["camera"]: one["path"] for one in (record["image"] or {}).get("views", ())}
    paths |= {(one["camera"], one["view"]): one["path"] for one in (record["image"] or {}).get("views", ())}
    for view, finding in zip(record["views"], record["finding"], strict=True):
        place = (view["camera"], view["view"])
        verdict = finding["verdict"] or "UNKNOWN"
        found = [one for one in record["defects"] if (one["camera"], one["view"]) == place]
        evidence = finding.get("evidence")
        values = {} if evidence is None else {name: evidence[key] for name, key in LIGHT.items()}
        if verdict == "OK":
            near = (one["score"] for one in record["near_misses"] if (one["camera"], one["view"]) == place)
            values[SCORE] = max(near, default=0.0)
        yield Sample(
            stream=(recipe["name"], *place),
            judged_by=judged_by,
            seq=record["seq"],
            at_us=at_us,
            captured_at=record["captured_at"],
            values=values,
            verdict=verdict,
            classes=frozenset(one["class_name"] for one in found),
            path=paths.get(place) or paths.get(view["camera"]),
        )
