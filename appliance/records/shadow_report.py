"""Where a model that only watches says something else than the one in use: from the journal, view by view."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

WORDS = ("OK", "NG", "UNKNOWN")
_Key = tuple[str, str, int, str]
"""Ledger epoch, camera, trigger id, view."""
_Pair = tuple[str, str, str]
"""Recipe, model in use, shadow model; models as name and the first digits of their hash."""


@dataclass(frozen=True)
class Disagreement:
    """A view that the two models judge differently.

    Attributes:
        active, shadow: Verdict and its defects' classes with scores, of the model in use and of the shadow.
        image: Path of the stored picture, relative to the image directory; None where none is stored.
    """

    seq: int
    at: str
    recipe: str
    part_id: str | None
    camera: str
    view: str
    trigger_id: int
    active: dict[str, Any]
    shadow: dict[str, Any]
    image: str | None


@dataclass
class Agreement:
    """Views that both models of a pair judged; `table` counts by verdict in use, then by the shadow's."""

    recipe: str
    active: str
    shadow: str
    table: Counter[tuple[str, str]] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """The figures under stable names."""
        compared = self.table.total()
        agree = sum(count for (active, shadow), count in self.table.items() if active == shadow)
        return {
            "recipe": self.recipe,
            "active": self.active,
            "shadow": self.shadow,
            "compared": compared,
            "agree": agree,
            "agreement": round(agree / compared, 6) if compared else None,
            "only_shadow_rejects": self.table["OK", "NG"],
            "only_active_rejects": self.table["NG", "OK"],
            "table": {active: {shadow: self.table[active, shadow] for shadow in WORDS} for active in WORDS},
        }


@dataclass
class ShadowReport:
    """What a stretch of the journal says.

    Attributes:
        pairs: One for each recipe and pair of models.
        disagreements: Newest last.
        without_shadow: Views with a verdict on which the shadow has no opinion: skipped, or none was set.
        other_recipe: Views that the two judged by different recipes, around a switch: not compared.
    """

    pairs: dict[_Pair, Agreement] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    without_shadow: int = 0
    other_recipe: int = 0

    def to_json(self, limit: int) -> dict[str, Any]:
        """The report under stable names, with the newest disagreements."""
        return {
            "pairs": [pair.to_json() for pair in self.pairs.values()],
            "disagreements": [vars(one) for one in self.disagreements[-limit:]],
            "disagreement_count": len(self.disagreements),
            "without_shadow": self.without_shadow,
            "other_recipe": self.other_recipe,
        }


def shadow_report(records: Iterable[Mapping[str, Any]]) -> ShadowReport:
    """Join what was said of the same views; inspections and shadow findings come in any order."""
    report = ShadowReport()
    views: dict[_Key, dict[str, Any]] = {}
    shadows: dict[_Key, Mapping[str, Any]] = {}
    for record in records:
        if record["kind"] == "shadow_finding":
            key = (record["ledger_epoch"], record["camera"], record["trigger_id"], record["view"])
            if (active := views.pop(key, None)) is not None:
                _compare(report, active, record)
            else:
                shadows[key] = record
        elif record["kind"] == "inspection":
            for key, active in _views(record):
                if (shadow := shadows.pop(key, None)) is not None:
                    _compare(report, active, shadow)
                else:
                    views[key] = active
    report.without_shadow = len(views)
    report.disagreements.sort(key=lambda one: one.seq)
    return report


def _views(record: Mapping[str, Any]) -> Iterator[tuple[_Key, dict[str, Any]]]:
    """What was found in each view of an inspection, whatever the part's verdict."""
    if record["model"] is None or record["recipe"] is None:
        return
    pictures = {(one["camera"], one["view"]): one["path"] for one in (record["image"] or {}).get("views", ())}
    for view, finding in zip(record["views"], record["finding"], strict=True):
        if finding["verdict"] is None:
            continue
        place = view["camera"], view["view"]
        defects = [one for one in record["defects"] if (one["camera"], one["view"]) == place]
        same_frame = (path for (camera, _), path in pictures.items() if camera == view["camera"])
        yield (
            (record["ledger_epoch"], view["camera"], view["trigger_id"], view["view"]),
            {
                "seq": record["seq"],
                "at": record["captured_at"],
                "part_id": record["part_id"],
                "recipe": record["recipe"],
                "model": record["model"],
                "said": _said(finding["verdict"], finding["reason"], defects),
                "image": pictures.get(place) or next(same_frame, None),
            },
        )


def _compare(report: ShadowReport, active: Mapping[str, Any], shadow: Mapping[str, Any]) -> None:
    if active["recipe"]["sha256"] != shadow["recipe"]["sha256"]:
        report.other_recipe += 1
        return
    pair = (active["recipe"]["name"], _named(active["model"]), _named(shadow["model"]))
    agreement = report.pairs.setdefault(pair, Agreement(*pair))
    agreement.table[active["said"]["verdict"], shadow["verdict"]] += 1
    if active["said"]["verdict"] != shadow["verdict"]:
        report.disagreements.append(
            Disagreement(
                seq=active["seq"],
                at=active["at"],
                recipe=pair[0],
                part_id=active["part_id"],
                camera=shadow["camera"],
                view=shadow["view"],
                trigger_id=shadow["trigger_id"],
                active=active["said"],
                shadow=_said(shadow["verdict"], shadow["reason"], [*shadow["defects"], *shadow["near_misses"]]),
                image=active["image"],
            )
        )


def _said(verdict: str, reason: str | None, defects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found = sorted(((one["class_name"], one["score"]) for one in defects), key=lambda one: -one[1])
    return {"verdict": verdict, "reason": reason, "defects": [{"class_name": name, "score": s} for name, s in found]}


def _named(model: Mapping[str, str]) -> str:
    return f"{model['name']} ({model['sha256'][:12]})"
