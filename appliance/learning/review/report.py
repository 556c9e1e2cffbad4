"""The report: what was judged, which rates follow, by week, class, camera, recipe and model, and what is left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.clock import rfc3339
from appliance.learning.evaluation.intervals import Rate, rate_figures
from appliance.learning.evaluation.stratified import Stratum
from appliance.learning.review.judgement import Judgement
from appliance.learning.review.ledger import History
from appliance.learning.review.rates import Judged, field_rates
from appliance.records.results import ResultQuery, Results
from appliance.records.row import unix_us
from appliance.records.strata import Group, Progress, count_classes, count_parts

METHOD = (
    "escape_rate = E / (E + T), false_reject_rate = F / (F + G); E, F, G, T: sums over groups (ISO week, cameras, "
    "recipe, model) of all parts of a verdict times the share of those drawn and judged; stratified Clopper-Pearson "
    "intervals of both shares at 97.5 % give 95 % of the rates; unsure answers and UNKNOWN verdicts are left out"
)
NG, OK, UNKNOWN = "NG", "OK", "UNKNOWN"
VERDICTS = (OK, NG, UNKNOWN)

Place = tuple[str, tuple[str, ...], str, str]
"""Week, cameras, recipe, model: what the report's groups are named by."""
Figures = dict[str, Any]


@dataclass
class Tally:
    """Counts at one place.

    Attributes:
        parts, pictured: By verdict: all, and those with a picture when they were journalled.
        ng_of: NG parts by class of their defects.
        judged: Parts that the draw showed and a person judged.
    """

    parts: Counter[str] = field(default_factory=Counter)
    pictured: Counter[str] = field(default_factory=Counter)
    ng_of: Counter[str] = field(default_factory=Counter)
    judged: list[Judgement] = field(default_factory=list)

    def group(self) -> Judged:
        """What the rates of all classes need."""
        return Judged(*(_stratum(self.parts[verdict], self._of(verdict)) for verdict in (OK, NG)))

    def group_of(self, class_name: str) -> Judged:
        """What the rates of one class need: an NG part belongs to each class of its defects."""
        with_it = [one for one in self._of(NG) if class_name in one.part.classes]
        ng = _stratum(self.ng_of[class_name], with_it)
        ok = _stratum(self.parts[OK], self._of(OK))
        named = sum(one.is_escape and one.class_name == class_name for one in self.judged)
        return Judged(Stratum(ok.population, ok.seen, named), ng)

    def _of(self, verdict: str) -> list[Judgement]:
        return [one for one in self.judged if one.part.verdict == verdict and one.answer != "unsure"]


def _stratum(parts: int, judged: Sequence[Judgement]) -> Stratum:
    """Parts and the sure answers; retention may have taken some rows since they were counted."""
    return Stratum(max(parts, len(judged)), len(judged), sum(one.answer == "wrong" for one in judged))


@dataclass(frozen=True)
class Review:
    """All that a report says.

    Attributes:
        by_hand: Judgements that count, of parts that the draw didn't show: found by somebody who looked for them.
        beyond: Judged parts that the journal holds no more.
    """

    epoch: str
    since_us: int | None
    until_us: int | None
    tallies: Mapping[Place, Tally]
    by_hand: tuple[Judgement, ...]
    beyond: int
    corrections: int
    damaged_lines: tuple[int, ...]
    simulated: int

    def figures(self) -> Figures:
        """Return the JSON form."""
        places = list(self.tallies)
        classes = sorted(
            {name for tally in self.tallies.values() for name in tally.ng_of}
            | {one.class_name for tally in self.tallies.values() for one in tally.judged if one.class_name is not None}
        )
        return {
            "journal_epoch": self.epoch,
            "since": None if self.since_us is None else rfc3339(self.since_us * 1000),
            "until": None if self.until_us is None else rfc3339(self.until_us * 1000),
            "simulated_parts": self.simulated,
            "overall": self._at(places),
            "by_week": self._each(lambda place: (place[0],)),
            "by_class": {name: self._of_class(name) for name in classes},
            "by_camera": self._each(lambda place: place[1]),
            "by_recipe": self._each(lambda place: (place[2],)),
            "by_model": self._each(lambda place: (place[3],)),
            "by_hand": {
                "judged": len(self.by_hand),
                "escapes": sum(one.is_escape for one in self.by_hand),
                "false_rejects": sum(one.is_false_reject for one in self.by_hand),
            },
            "judged_but_no_longer_in_the_journal": self.beyond,
            "corrections": self.corrections,
            "damaged_ledger_lines": list(self.damaged_lines),
            "method": METHOD,
        }

    def _each(self, names_of: Callable[[Place], Iterable[str]]) -> dict[str, Figures]:
        found: dict[str, list[Place]] = defaultdict(list)
        for place in self.tallies:
            for name in names_of(place):
                found[name].append(place)
        return {name: self._at(places) for name, places in sorted(found.items())}

    def _at(self, places: Sequence[Place]) -> Figures:
        tallies = [self.tallies[place] for place in places]
        judged = [one for tally in tallies for one in tally.judged]
        seen: Counter[str] = Counter(one.part.verdict for one in judged)
        left = {verdict: sum(tally.pictured[verdict] for tally in tallies) - seen[verdict] for verdict in VERDICTS}
        return {
            **field_rates([tally.group() for tally in tallies]),
            **self._unknown(tallies, judged),
            "unsure": sum(one.answer == "unsure" for one in judged),
            **{f"{verdict.lower()}_pictures_not_reviewed": max(0, count) for verdict, count in left.items()},
        }

    def _of_class(self, name: str) -> Figures:
        return field_rates([tally.group_of(name) for tally in self.tallies.values()])

    @staticmethod
    def _unknown(tallies: Sequence[Tally], judged: Sequence[Judgement]) -> Figures:
        answers = Counter(one.answer for one in judged if one.part.verdict == UNKNOWN)
        share = Rate(answers["wrong"], answers["wrong"] + answers["right"])
        return {
            "unknown_verdicts": sum(tally.parts[UNKNOWN] for tally in tallies),
            **rate_figures("good_among_unknown", "unknown_judged", "good_share_of_unknown", share),
        }


def review_report(results: Results, history: History, query: ResultQuery, progress: Progress | None = None) -> Review:
    """Count the journal's parts of a time and hold the judgements against them.

    Args:
        query: `since_us` and `until_us` choose; the other fields are None.
    Raises:
        JournalError: As `Results.each`.
    """
    tallies: dict[Place, Tally] = defaultdict(Tally)
    simulated = 0
    for one in count_parts(results, query, progress):
        tally = tallies[_place(one.group)]
        tally.parts[one.group.verdict] += one.count
        tally.pictured[one.group.verdict] += one.count * one.has_picture
        simulated += one.count * one.is_simulated
    for each in count_classes(results, query):
        tallies[_place(each.group)].ng_of[each.class_name] += each.count
    drawn, epoch, oldest = history.drawn(), results.journal.epoch, results.journal.oldest_seq
    by_hand, beyond = [], 0
    for key, judgement in history.latest().items():
        if not is_within(judgement, query):
            continue
        if key[0] != epoch or key[1] < oldest:
            beyond += 1
        elif key in drawn:
            tallies[_place_of(judgement)].judged.append(judgement)
        else:
            by_hand.append(judgement)
    return Review(
        epoch=epoch,
        since_us=query.since_us,
        until_us=query.until_us,
        tallies=dict(tallies),
        by_hand=tuple(by_hand),
        beyond=beyond,
        corrections=history.corrections(),
        damaged_lines=history.damaged_lines,
        simulated=simulated,
    )


def _place(group: Group) -> Place:
    return group.week, group.cameras, group.recipe, group.model


def _place_of(judgement: Judgement) -> Place:
    part = judgement.part
    return part.week, part.cameras, part.recipe, part.model


def is_within(judgement: Judgement, query: ResultQuery) -> bool:
    """Whether the part was exposed in a query's time."""
    at_us = unix_us(judgement.part.captured_at)
    is_early = query.since_us is not None and at_us < query.since_us
    return not is_early and not (query.until_us is not None and at_us >= query.until_us)
