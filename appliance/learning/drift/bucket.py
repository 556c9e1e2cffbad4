"""What is kept of many views: histograms, counts, and a few pictures as examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from appliance.learning.drift.scale import Histogram, from_plain, merged, plain
from appliance.learning.drift.signals import CLASS_RATE, NG_RATE, SCALES, UNKNOWN_RATE, Sample

MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Specimen:
    """One window as it was looked at: how a stretch of that length differs from the whole.

    Attributes:
        alarmed: Signals on which an alarm stood: there it is no specimen of what is normal.
    """

    window: Bucket
    alarmed: frozenset[str]


@dataclass
class Bucket:
    """Views of one stream, judged by one model and one set of rules.

    Attributes:
        verdicts: By word.
        classes: Views with at least one defect of a class.
        examples: Stored pictures, as `appliance drift` shows them: the first ones, those of OK parts before others.
        specimens: At most one an hour.
    """

    histograms: dict[str, Histogram] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    specimens: list[Specimen] = field(default_factory=list)

    @property
    def views(self) -> int:
        """All of them."""
        return self.verdicts.total()

    @property
    def judged(self) -> int:
        """Those of which a model said OK or NG."""
        return self.verdicts["OK"] + self.verdicts["NG"]

    def add(self, sample: Sample) -> None:
        """Count one view."""
        self.verdicts[sample.verdict] += 1
        self.classes.update(sample.classes)
        for name, value in sample.values.items():
            self.histograms.setdefault(name, Counter())[SCALES[name].bin_of(value)] += 1
        if sample.path is not None:
            self._keep_example(sample)

    def _keep_example(self, sample: Sample) -> None:
        full = len(self.examples) >= MOST_EXAMPLES
        if full and (sample.verdict != "OK" or self.examples[-1]["verdict"] == "OK"):
            return
        del self.examples[MOST_EXAMPLES - 1 :]
        self.examples.append(
            {
                "seq": sample.seq,
                "captured_at": sample.captured_at,
                "verdict": sample.verdict,
                "classes": sorted(sample.classes),
                "values": sample.values,
                "path": sample.path,
            }
        )
        self.examples.sort(key=lambda one: one["verdict"] != "OK")

    def rate(self, name: str) -> tuple[int, int]:
        """Give a rate's count, and what it is counted of."""
        if name == UNKNOWN_RATE:
            return self.verdicts["UNKNOWN"], self.views
        if name == NG_RATE:
            return self.verdicts["NG"], self.judged
        return self.classes[name.removeprefix(CLASS_RATE)], self.judged

    def to_json(self) -> dict[str, Any]:
        """Write it down."""
        return {
            "verdicts": dict(self.verdicts),
            "classes": dict(self.classes),
            "histograms": {name: plain(one) for name, one in self.histograms.items()},
            "examples": self.examples,
            "specimens": [{"window": one.window.to_json(), "alarmed": sorted(one.alarmed)} for one in self.specimens],
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Bucket:
        """Read what `to_json` wrote; histograms of signals that are no more are left out.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: It is something else.
        """
        return cls(
            {name: from_plain(one) for name, one in content["histograms"].items() if name in SCALES},
            Counter({str(word): int(count) for word, count in content["verdicts"].items()}),
            Counter({str(name): int(count) for name, count in content["classes"].items()}),
            list(content["examples"]),
            [Specimen(cls.from_json(one["window"]), frozenset(one["alarmed"])) for one in content["specimens"]],
        )


def together(buckets: Iterable[Bucket]) -> Bucket:
    """Add buckets up; examples and specimens are all kept."""
    total = Bucket()
    parts = list(buckets)
    names = dict.fromkeys(name for one in parts for name in one.histograms)
    total.histograms = {name: merged(one.histograms[name] for one in parts if name in one.histograms) for name in names}
    for one in parts:
        total.verdicts.update(one.verdicts)
        total.classes.update(one.classes)
        total.examples += one.examples
        total.specimens += one.specimens
    return total
