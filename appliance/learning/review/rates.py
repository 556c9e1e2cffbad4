"""From what was drawn and judged to the rates of the field, with 95 % intervals.

In a group h (week, cameras, recipe, model) the line called A_h parts OK and B_h parts NG. Of these a_h and b_h were
drawn, looked at and judged; e_h of the a_h had a defect (escapes), f_h of the b_h were good (false rejects). With

    E = sum A_h e_h / a_h    NG parts passed as OK       G = sum A_h - E    OK parts passed
    F = sum B_h f_h / b_h    OK parts rejected as NG     T = sum B_h - F    NG parts rejected

    escape_rate = E / (E + T)        false_reject_rate = F / (F + G)

Intervals: the shares E / sum A_h and F / sum B_h have stratified intervals (evaluation/stratified.py). Either rate
rises with each share, so its ends lie where both shares are at their ends; these are taken at 97.5 % each, so that both
hold at once, and with them the rate, in at least 95 of 100 reviews (Bonferroni; a little wide).

What it assumes: within a group, the parts judged are as good as drawn at random (see draw.py; a review of one hour
speaks for its whole week), pictures are missing and answers are "unsure" without regard to the truth, and the person is
right where they are sure. A share leaves out the groups of which none was judged; a rate those of which no OK or no NG
part was judged although there are some: `ok_verdicts_not_covered` and `ng_verdicts_not_covered` count what it doesn't
speak for. UNKNOWN parts are in neither rate: the line said that it doesn't know; they are counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.learning.evaluation.intervals import CONFIDENCE, Interval, rounded
from appliance.learning.evaluation.stratified import Stratum, stratified_interval, stratified_share

_BOTH = 1 - (1 - CONFIDENCE) / 2


@dataclass(frozen=True)
class Judged:
    """One group: its parts called OK with the escapes among those judged, its parts called NG with the good ones."""

    ok: Stratum
    ng: Stratum

    @property
    def is_covered(self) -> bool:
        """Whether some were judged of either kind that is there."""
        return all(stratum.seen or not stratum.population for stratum in (self.ok, self.ng))


def field_rates(groups: Sequence[Judged]) -> dict[str, Any]:
    """Put groups together; gives the JSON form, in which None is what can't be known yet."""
    ok, ng = [group.ok for group in groups], [group.ng for group in groups]
    covered = [group for group in groups if group.is_covered]
    sides = _Sides.of([group.ok for group in covered], [group.ng for group in covered])
    return {
        "ok_verdicts": _population(ok),
        "ng_verdicts": _population(ng),
        **_share_figures("escapes_found", "ok_judged", "escape_share_of_ok", ok),
        **_share_figures("false_rejects_found", "ng_judged", "false_reject_share_of_ng", ng),
        "ok_verdicts_not_covered": _population(ok) - sides.passed,
        "ng_verdicts_not_covered": _population(ng) - sides.rejected,
        **sides.figures(),
    }


@dataclass(frozen=True)
class _Sides:
    """What passed and what was rejected in the covered groups, and which share of either is wrong, with its ends."""

    passed: int
    rejected: int
    p: float | None
    q: float | None
    p_ends: Interval | None
    q_ends: Interval | None

    @classmethod
    def of(cls, ok: Sequence[Stratum], ng: Sequence[Stratum]) -> _Sides:
        return cls(
            passed=_population(ok),
            rejected=_population(ng),
            p=stratified_share(ok),
            q=stratified_share(ng),
            p_ends=stratified_interval(ok, _BOTH),
            q_ends=stratified_interval(ng, _BOTH),
        )

    def figures(self) -> dict[str, Any]:
        names = (
            "estimated_escapes", "estimated_ng_parts", "escape_rate", "escape_rate_ci95",
            "estimated_false_rejects", "estimated_ok_parts", "false_reject_rate", "false_reject_rate_ci95",
        )  # fmt: skip
        if self.p is None or self.q is None or self.p_ends is None or self.q_ends is None:
            return dict.fromkeys(names)
        figures: list[Any] = []
        for parts in (self._ng_parts, self._ok_parts):
            wrong, right = parts(self.p, self.q)
            ends = [rounded(_part_of(*parts(p, q))) for p, q in zip(self.p_ends, self.q_ends, strict=True)]
            is_some = wrong + right > 0
            figures += [rounded(wrong), rounded(wrong + right)]
            figures += [rounded(_part_of(wrong, right)) if is_some else None, ends if is_some else None]
        return dict(zip(names, figures, strict=True))

    def _ng_parts(self, p: float, q: float) -> tuple[float, float]:
        """NG parts passed, and rejected; their rate rises with p and with q."""
        return self.passed * p, self.rejected * (1 - q)

    def _ok_parts(self, p: float, q: float) -> tuple[float, float]:
        """OK parts rejected, and passed; their rate rises with p and with q too."""
        return self.rejected * q, self.passed * (1 - p)


def _part_of(this: float, other: float) -> float:
    return this / (this + other) if this + other else 0.0


def _population(strata: Sequence[Stratum]) -> int:
    return sum(stratum.population for stratum in strata)


def _share_figures(count: str, total: str, share: str, strata: Sequence[Stratum]) -> dict[str, Any]:
    ends = stratified_interval(strata)
    return {
        count: sum(one.count for one in strata),
        total: sum(one.seen for one in strata),
        share: rounded(stratified_share(strata)),
        f"{share}_ci95": None if ends is None else [rounded(end) for end in ends],
    }
