"""From judged parts to the field's rates: cases reckoned by hand, and intervals that hold the truth."""

import numpy as np
import pytest

from appliance.learning.evaluation.intervals import clopper_pearson
from appliance.learning.evaluation.stratified import Stratum, stratified_interval
from appliance.learning.review.rates import Judged, field_rates


def test_rates_weigh_each_group_by_its_parts() -> None:
    """Week 1: 1000 OK, 50 drawn, 1 escape; 100 NG, 20 drawn, 4 good. Week 2: 3000, 30, 2; 50, 10, 0."""
    figures = field_rates(
        [Judged(Stratum(1000, 50, 1), Stratum(100, 20, 4)), Judged(Stratum(3000, 30, 2), Stratum(50, 10, 0))]
    )
    assert (figures["ok_verdicts"], figures["ng_verdicts"]) == (4000, 150)
    assert (figures["escapes_found"], figures["ok_judged"]) == (3, 80)
    assert (figures["false_rejects_found"], figures["ng_judged"]) == (4, 30)
    assert figures["estimated_escapes"] == pytest.approx(20 + 200)
    assert figures["escape_share_of_ok"] == pytest.approx(220 / 4000)
    assert figures["estimated_false_rejects"] == pytest.approx(20)
    assert figures["false_reject_share_of_ng"] == pytest.approx(20 / 150, abs=1e-6)
    assert figures["estimated_ng_parts"] == pytest.approx(220 + 130)
    assert figures["escape_rate"] == pytest.approx(220 / 350, abs=1e-6)
    assert figures["estimated_ok_parts"] == pytest.approx(20 + 3780)
    assert figures["false_reject_rate"] == pytest.approx(20 / 3800, abs=1e-6)


def test_the_ends_of_a_rate_lie_where_both_shares_are_at_their_ends() -> None:
    ok, ng = Stratum(1000, 50, 1), Stratum(100, 20, 4)
    figures = field_rates([Judged(ok, ng)])
    p, q = (stratified_interval([one], 0.975) or (0, 1) for one in (ok, ng))
    ends = [1000 * a / (1000 * a + 100 * (1 - b)) for a, b in zip(p, q, strict=True)]
    assert figures["escape_rate_ci95"] == pytest.approx(ends, abs=1e-6)
    assert figures["escape_share_of_ok_ci95"] == pytest.approx(clopper_pearson(1, 50), abs=1e-6)


def test_a_group_judged_on_one_side_only_is_left_out_of_the_rates_and_counted() -> None:
    whole = Judged(Stratum(1000, 50, 1), Stratum(100, 20, 4))
    half = Judged(Stratum(500, 0, 0), Stratum(70, 10, 1))
    without_ng = Judged(Stratum(200, 10, 0), Stratum(0, 0, 0))
    figures, alone = field_rates([whole, half]), field_rates([whole])
    assert (figures["ok_verdicts_not_covered"], figures["ng_verdicts_not_covered"]) == (500, 70)
    assert figures["escape_rate"] == alone["escape_rate"]
    assert figures["ng_judged"] == 30
    assert field_rates([whole, without_ng])["ok_verdicts_not_covered"] == 0


def test_what_nobody_judged_is_not_known() -> None:
    for groups in (
        [],
        [Judged(Stratum(1000, 0, 0), Stratum(100, 0, 0))],
        [Judged(Stratum(10, 5, 0), Stratum(4, 0, 0))],
    ):
        figures = field_rates(groups)
        assert figures["escape_rate"] is None
        assert figures["false_reject_rate_ci95"] is None


def test_the_interval_of_the_escape_rate_holds_the_truth_in_simulated_reviews() -> None:
    random = np.random.default_rng(11)
    ok, ng, drawn_ok, drawn_ng = [20_000, 3_000], [400, 90], [80, 30], [60, 20]
    p, q = [0.004, 0.03], [0.1, 0.4]
    escapes, rejected = np.dot(ok, p), np.dot(ng, 1 - np.array(q))
    truth = escapes / (escapes + rejected)
    good = np.dot(ng, q)
    false_truth = good / (good + np.dot(ok, 1 - np.array(p)))
    hits = false_hits = 0
    for _ in range(300):
        found = random.binomial(drawn_ok, p), random.binomial(drawn_ng, q)
        figures = field_rates(
            [
                Judged(Stratum(ok[h], drawn_ok[h], int(found[0][h])), Stratum(ng[h], drawn_ng[h], int(found[1][h])))
                for h in (0, 1)
            ]
        )
        hits += figures["escape_rate_ci95"][0] <= truth <= figures["escape_rate_ci95"][1]
        false_hits += figures["false_reject_rate_ci95"][0] <= false_truth <= figures["false_reject_rate_ci95"][1]
    assert min(hits, false_hits) >= 285
