"""What the tally files tell beyond the records: pure, with files and journals made of dictionaries."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.messages import Reason, Trigger, VerdictWord
from appliance.records.reconcile import Audit, CameraAudit, audit, outcomes
from appliance.records.recorded import LOOKBACK, IdRange, RecordedTriggers
from appliance.tally import AnnouncedWriter, DecidedWriter, Decision, ledger_epoch
from appliance.tally.records import CAPACITY

EPOCH = "0123456789abcdef"
NOW_NS = 1_000_000


@dataclass
class JournalOfSets:
    """A journal that knows only which triggers it holds."""

    ids: set[int] = field(default_factory=set)
    oldest_seq: int = 1
    asked: list[int] = field(default_factory=list)

    def triggers(self, ledger_epoch: str, camera: str, first_id: int) -> set[int]:
        self.asked.append(first_id)
        return {each for each in self.ids if each >= first_id}

    def last_trigger(self, ledger_epoch: str, camera: str) -> int | None:
        return max(self.ids, default=None)


def recorded(ids: Iterable[int] = (), **more: int) -> RecordedTriggers:
    return RecordedTriggers(JournalOfSets(set(ids), **more), EPOCH, "cam0")


def decision(number: int, inspection: int | None = None, *, at_ns: int = 0, is_sent: bool = True) -> Decision:
    return Decision(number, inspection or number, number, VerdictWord.NG, Reason.NONE, is_sent, at_ns, 99)


def look(
    known: RecordedTriggers, *, first_id: int = 1, announced: Iterable[int] = (), decided: Iterable[Decision] = ()
) -> Audit:
    triggers = {each: Trigger(each, 0) for each in announced}
    decisions = {each.trigger_id: each for each in decided}
    return audit(
        "cam0",
        known,
        first_id=first_id,
        last_id=max(triggers, default=first_id - 1),
        decided_before_ns=NOW_NS,
        trigger_of=triggers.get,
        decision_of=decisions.get,
    )


def untold_ids(found: Audit) -> list[int]:
    return [each.trigger.trigger_id for each in found.untold]


def test_what_is_recorded_is_not_told_twice() -> None:
    found = look(recorded([1, 2, 3]), announced=[1, 2, 3], decided=map(decision, [1, 2, 3]))
    assert found == Audit()


def test_a_decision_without_a_record_is_found_and_an_open_trigger_left_alone() -> None:
    found = look(recorded([1]), announced=[1, 2, 3, 4], decided=[decision(1), decision(3)])
    assert untold_ids(found) == [3]
    assert (found.older, found.overrun) == ([], [])


def test_a_young_decision_may_still_be_on_its_way_to_the_spool() -> None:
    found = look(recorded(), announced=[1, 2], decided=[decision(1, at_ns=NOW_NS), decision(2, at_ns=NOW_NS - 1)])
    assert untold_ids(found) == [2]


def test_after_a_power_loss_the_ids_up_to_the_new_file_are_one_range() -> None:
    known = recorded(range(1, 51))
    found = look(known, first_id=10_000, announced=[10_000])
    assert found.older == [IdRange(51, 9_999)]
    known.add_range(found.older[0])
    known.add(10_000)
    assert look(known, first_id=10_000, announced=[10_000]) == Audit()


def test_rows_that_were_on_their_way_when_the_power_failed_are_ranges_of_their_own() -> None:
    found = look(recorded([1, 2, 4, 5]), first_id=10_000)
    assert found.older == [IdRange(3, 3), IdRange(6, 9_999)]


def test_a_journal_that_never_saw_a_trigger_still_accounts_for_all_of_them() -> None:
    assert look(recorded(), first_id=10_000).older == [IdRange(1, 9_999)]
    assert look(recorded(), first_id=1).older == []


def test_rows_that_retention_took_are_not_taken_for_lost() -> None:
    assert look(recorded([70, 71, 73], oldest_seq=60), first_id=80).older == [IdRange(72, 72), IdRange(74, 79)]
    found = look(recorded([70], oldest_seq=60), announced=range(1, 71), decided=map(decision, range(1, 71)))
    assert found == Audit()


def test_an_overrun_window_becomes_a_range_and_the_rest_records() -> None:
    last = CAPACITY + 10
    decided = map(decision, range(11, last + 1))
    found = look(recorded(range(1, 6)), announced=range(11, last + 1), decided=decided)
    assert found.overrun == [IdRange(6, 10)]
    assert untold_ids(found) == list(range(11, last + 1))


def test_a_range_of_millions_costs_nothing() -> None:
    known = recorded()
    (gap,) = look(known, first_id=10**12).older
    known.add_range(gap)
    assert known.accounted_to == 10**12 - 1
    assert 5_000 in known
    assert look(known, first_id=10**12) == Audit()


def test_triggers_of_one_inspection_become_one_record() -> None:
    found = look(
        recorded(),
        announced=[1, 2, 3],
        decided=[decision(1, 7), decision(2, 8, is_sent=False), decision(3, 7, is_sent=False)],
    )
    built = outcomes(found.untold, line="l", station="s", ledger_epoch=EPOCH)
    told = [(o.inspection_id, [v.trigger.trigger_id for v in o.views], was_sent) for o, was_sent in built]
    assert told == [(7, [1, 3], True), (8, [2], False)]


def test_an_id_from_before_the_lookback_is_asked_of_the_journal_once() -> None:
    journal = JournalOfSets(set(range(1, LOOKBACK + 5_000)) - {77})
    known = RecordedTriggers(journal, EPOCH, "cam0")
    assert (76 in known, 77 in known, 78 in known, LOOKBACK in known) == (True, False, True, True)
    assert len(journal.asked) == 2
    known.add(77)
    assert 77 in known


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.integers(1, 60))
def test_every_id_is_either_recorded_or_missing(journalled: set[int], added: set[int], last_id: int) -> None:
    known = recorded(journalled)
    for each in added:
        known.add(each)
    missing = {number for ids in known.missing(1, last_id) for number in range(ids.first, ids.last + 1)}
    present = {number for number in range(1, last_id + 1) if number in known}
    assert present == (journalled | added) & set(range(1, last_id + 1))
    assert missing == set(range(1, last_id + 1)) - present
    for ids in known.missing(1, last_id):
        known.add_range(ids)
    assert known.missing(1, last_id) == []


@pytest.mark.parametrize("is_recorded", [True, False])
def test_real_tally_files_are_followed_from_their_first_trigger_on(tmp_path: Path, is_recorded: bool) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    run.mkdir()
    epoch = ledger_epoch(_made(state))
    follower = CameraAudit(run, "cam0", epoch, RecordedTriggers(JournalOfSets(), epoch, "cam0"))
    assert follower.look(NOW_NS) == Audit()
    grabber = AnnouncedWriter(run, state, "cam0")
    first = grabber.next_trigger_id
    publisher = DecidedWriter(run, "cam0", epoch, first)
    for number in range(first, first + 3):
        grabber.announce(Trigger(number, 0))
        publisher.decide(decision(number))
    if is_recorded:
        follower.recorded.add(first)
    assert untold_ids(follower.look(NOW_NS)) == list(range(first + is_recorded, first + 3))
    for each in (follower, grabber, publisher):
        each.close()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
