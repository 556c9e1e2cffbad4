"""What the tally files tell beyond the records: pure, with files and journals made of dictionaries."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.messages import Reason, Trigger, VerdictWord
from appliance.records.reconcile import MOST_AT_ONCE, Audit, CameraAudit, IdRange, audit, clip, complete, gaps, outcomes
from appliance.records.spans import IdSpans
from appliance.tally import AnnouncedWriter, DecidedWriter, Decision, ledger_epoch
from appliance.tally.records import CAPACITY

EPOCH = "0123456789abcdef"
NOW_NS = 1_000_000


def ranges_of(ids: Iterable[int]) -> list[IdRange]:
    spans = IdSpans()
    for each in ids:
        spans.add(EPOCH, "cam0", each, each)
    return [(first, last) for _, _, first, last in spans]


def decision(number: int, inspection: int | None = None, *, at_ns: int = 0, is_sent: bool = True) -> Decision:
    return Decision(number, inspection or number, number, VerdictWord.NG, Reason.NONE, is_sent, at_ns, 99)


def look(
    recorded: Iterable[int], *, first_id: int = 1, announced: Iterable[int] = (), decided: Iterable[Decision] = ()
) -> Audit:
    triggers = {each: Trigger(each, 0) for each in announced}
    decisions = {each.trigger_id: each for each in decided}
    return audit(
        "cam0",
        ranges_of(recorded),
        first_id=first_id,
        last_id=max(triggers, default=first_id - 1),
        decided_before_ns=NOW_NS,
        trigger_of=triggers.get,
        decision_of=decisions.get,
    )


def untold_ids(found: Audit) -> list[int]:
    return [each.trigger.trigger_id for each in found.untold]


def test_what_is_recorded_is_not_told_twice() -> None:
    found = look([1, 2, 3], announced=[1, 2, 3], decided=map(decision, [1, 2, 3]))
    assert found == Audit()


def test_a_decision_without_a_record_is_found_and_an_open_trigger_left_alone() -> None:
    found = look([1], announced=[1, 2, 3, 4], decided=[decision(1), decision(3)])
    assert untold_ids(found) == [3]
    assert (found.older, found.overrun) == ([], [])


def test_a_young_decision_may_still_be_on_its_way_to_the_spool() -> None:
    found = look([], announced=[1, 2], decided=[decision(1, at_ns=NOW_NS), decision(2, at_ns=NOW_NS - 1)])
    assert untold_ids(found) == [2]


def test_after_a_power_loss_the_ids_up_to_the_new_file_are_one_range() -> None:
    found = look(range(1, 51), first_id=10_000, announced=[10_000])
    assert (found.older, found.untold) == ([(51, 9_999)], [])
    assert look(range(1, 10_001), first_id=10_000, announced=[10_000]) == Audit()


def test_rows_that_were_on_their_way_when_the_power_failed_are_ranges_of_their_own() -> None:
    assert look([1, 2, 4, 5], first_id=10_000).older == [(3, 3), (6, 9_999)]


def test_a_journal_that_never_saw_a_trigger_still_accounts_for_all_of_them() -> None:
    assert look([], first_id=10_000).older == [(1, 9_999)]
    assert look([], first_id=1) == Audit()


def test_an_overrun_window_becomes_a_range_and_the_rest_records() -> None:
    last = CAPACITY + 10
    decided = map(decision, range(11, last + 1))
    found = look(range(1, 6), announced=range(11, last + 1), decided=decided)
    assert (found.older, found.overrun) == ([], [(6, 10)])
    assert untold_ids(found) == list(range(11, 11 + MOST_AT_ONCE)), "the next look goes on"
    rest = look(range(1, last - 2), announced=range(11, last + 1), decided=map(decision, range(11, last + 1)))
    assert untold_ids(rest) == [last - 2, last - 1, last]


def test_a_part_of_several_views_is_left_to_the_publisher_while_one_of_them_may_be_open() -> None:
    triggers = {number: Trigger(number, 10 * number) for number in (1, 2, 3)}
    decided = Decision(1, 7, 7, VerdictWord.NG, Reason.NONE, True, 25, 99, part_ns=10)

    def gather(decisions: dict[int, Decision]) -> list[int]:
        found = audit(
            "cam0",
            [],
            first_id=1,
            last_id=3,
            decided_before_ns=NOW_NS,
            trigger_of=triggers.get,
            decision_of=decisions.get,
        )
        return [each.trigger.trigger_id for each in complete([found, Audit()])]

    assert gather({1: decided}) == []
    assert gather({1: decided, 2: replace(decided, trigger_id=2)}) == [1, 2], "trigger 3 came after the decision"
    assert gather({1: replace(decided, part_ns=0)}) == [1], "a part of one view has no other"


def test_triggers_of_one_inspection_become_one_record() -> None:
    found = look(
        [],
        announced=[1, 2, 3],
        decided=[decision(1, 7), decision(2, 8, is_sent=False), decision(3, 7, is_sent=False)],
    )
    built = outcomes(found.untold, line="l", station="s", ledger_epoch=EPOCH)
    told = [(o.inspection_id, [v.trigger.trigger_id for v in o.views], was_sent) for o, was_sent in built]
    assert told == [(7, [1, 3], True), (8, [2], False)]


@given(st.sets(st.integers(1, 60)), st.integers(1, 60), st.integers(1, 60))
def test_every_id_is_either_recorded_or_in_a_gap(recorded: set[int], first_id: int, last_id: int) -> None:
    missing = clip(gaps(ranges_of(recorded), last_id), first_id, last_id)
    ids = [number for first, last in missing for number in range(first, last + 1)]
    assert ids == [number for number in range(first_id, last_id + 1) if number not in recorded]


@pytest.mark.parametrize("is_recorded", [True, False])
def test_real_tally_files_are_followed_from_their_first_trigger_on(tmp_path: Path, is_recorded: bool) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    run.mkdir()
    epoch = ledger_epoch(_made(state))
    recorded = IdSpans()
    follower = CameraAudit(run, "cam0", epoch)
    assert follower.look(recorded, NOW_NS) == Audit()
    grabber = AnnouncedWriter(run, state, "cam0")
    first = grabber.next_trigger_id
    publisher = DecidedWriter(run, "cam0", epoch, first)
    for number in range(first, first + 3):
        grabber.announce(Trigger(number, 0))
        publisher.decide(decision(number))
    if is_recorded:
        recorded.add(epoch, "cam0", first, first)
    assert untold_ids(follower.look(recorded, NOW_NS)) == list(range(first + is_recorded, first + 3))
    for each in (follower, grabber, publisher):
        each.close()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
