"""The draw: seeded by the parts themselves, the same again, in proportion whenever somebody stops."""

from collections import Counter

from appliance.learning.review.draw import draw
from appliance.records.strata import Group, PicturedPart

EPOCH = "ab" * 8


def parts(verdict: str, seqs: range, week: str = "2026-W48") -> list[PicturedPart]:
    group = Group(week, ("cam0",), "tabs v1", "tabs-fine (abab)", verdict)
    return [PicturedPart(seq, group) for seq in seqs]


def test_all_rejected_parts_and_the_share_of_each_group_of_ok_parts_are_listed() -> None:
    everything = [
        *parts("NG", range(1, 8)),
        *parts("UNKNOWN", range(8, 10)),
        *parts("OK", range(100, 300)),
        *parts("OK", range(300, 305), "2026-W49"),
    ]
    drawn = draw(everything, EPOCH, 0.1, set())
    assert len(drawn) == len(set(drawn)) == 7 + 2 + 20 + 1
    assert set(range(1, 10)) <= set(drawn)
    assert sum(seq >= 300 for seq in drawn) == 1
    assert draw(list(reversed(everything)), EPOCH, 0.1, set()) == drawn
    assert draw(everything, "cd" * 8, 0.1, set()) != drawn
    assert [seq for seq in draw(everything, EPOCH, 0.0, set()) if seq >= 100] == []


def test_a_larger_share_holds_the_smaller_one() -> None:
    small, large = (set(draw(parts("OK", range(1, 401)), EPOCH, rate, set())) for rate in (0.05, 0.25))
    assert small < large
    assert (len(small), len(large)) == (20, 100)


def test_whoever_stops_early_has_seen_each_group_in_proportion() -> None:
    lists = [
        parts("OK", range(first, first + length), week) for first, length, week in ((1, 600, "W1"), (1001, 200, "W2"))
    ]
    drawn = draw([part for one in lists for part in one], EPOCH, 1.0, set())
    for stop in (40, 100, 400):
        weeks = Counter(seq > 1000 for seq in drawn[:stop])
        assert abs(weeks[True] - stop / 4) <= 1


def test_verdicts_come_in_turn() -> None:
    verdicts = {1: "NG", 2: "OK", 3: "UNKNOWN"}
    everything = [
        part for number, verdict in verdicts.items() for part in parts(verdict, range(number * 100, number * 100 + 9))
    ]
    assert [seq // 100 for seq in draw(everything, EPOCH, 1.0, set())[:6]] == [1, 2, 3, 1, 2, 3]


def test_what_was_drawn_and_judged_is_left_out_and_still_part_of_the_share() -> None:
    everything = parts("OK", range(1, 101))
    first = draw(everything, EPOCH, 0.1, set())
    assert draw(everything, EPOCH, 0.1, {(EPOCH, seq) for seq in first[:4]}) == first[4:]
    assert draw(everything, EPOCH, 0.1, {(EPOCH, seq) for seq in first}) == []


def test_the_draw_is_blind_to_place_and_time() -> None:
    """Old and new, odd and even parts are drawn alike."""
    drawn = draw(parts("OK", range(1, 4001)), EPOCH, 0.25, set())
    assert abs(sum(seq <= 2000 for seq in drawn) - 500) < 60
    assert abs(sum(seq % 2 for seq in drawn) - 500) < 60
