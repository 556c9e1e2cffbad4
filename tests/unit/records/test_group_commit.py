"""Rows go into the journal in groups, and one bad row holds up nobody."""

import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.records.group_commit import MAX_GROUP_ROWS, Committed, GroupCommit
from appliance.records.intake import Intaken
from appliance.records.journal import Journal
from appliance.records.work_thread import WorkThread
from appliance.testing.journal_records import inspection
from appliance.testing.patience import PATIENCE_S


class Desk:
    """A journal, its thread, and what was committed."""

    def __init__(self, journal: Journal) -> None:
        self.thread = WorkThread("test-journal")
        self.has_space = True
        self.groups: list[Sequence[Committed]] = []
        self.commits = GroupCommit(
            journal,
            self.thread,
            group_rows=16,
            group_ms=5.0,
            may_write=lambda: self.has_space,
            on_commit=self.groups.append,
        )

    def add(self, records: Sequence[dict[str, Any]], now_ns: int) -> None:
        self.commits.add([Intaken(record) for record in records], now_ns)

    def run_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self.commits.step(time.monotonic_ns())
            select.select([self.thread], [], [], 0.01)
            self.thread.collect()
            assert time.monotonic() < end

    def seqs(self) -> list[int | None]:
        return [row.seq if row else None for group in self.groups for _, row in group]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with closing(Journal.open(tmp_path / "journal")) as journal:
        running = Desk(journal)
        yield running
        running.thread.close()


def test_a_group_is_due_when_it_is_full_or_has_waited_long_enough(desk: Desk) -> None:
    assert desk.commits.due_ns() is None
    desk.add([inspection(1)], now_ns=1_000)
    assert desk.commits.due_ns() == 1_000 + 5_000_000
    desk.add([inspection(number) for number in range(2, 17)], now_ns=2_000)
    assert desk.commits.due_ns() == 0


def test_a_backlog_is_committed_in_larger_groups_in_order(desk: Desk) -> None:
    count = MAX_GROUP_ROWS + 20
    desk.add([inspection(number) for number in range(1, count + 1)], now_ns=0)
    desk.run_until(lambda: len(desk.commits) == 0)
    assert [len(group) for group in desk.groups] == [MAX_GROUP_ROWS, 20]
    assert desk.seqs() == list(range(1, count + 1))


def test_a_row_that_the_journal_refuses_holds_up_nobody(desk: Desk) -> None:
    desk.add([inspection(1), inspection(2), inspection(1), {"no": "kind"}, inspection(3)], now_ns=0)
    desk.run_until(lambda: len(desk.commits) == 0)
    assert desk.seqs() == [1, 2, None, None, 3]
    assert desk.commits.status()["rows_refused"] == 2


def test_without_space_rows_wait(desk: Desk) -> None:
    desk.has_space = False
    desk.add([inspection(1)], now_ns=0)
    desk.commits.step(time.monotonic_ns())
    assert (desk.commits.due_ns(), len(desk.thread), len(desk.commits)) == (None, 0, 1)
    desk.has_space = True
    desk.run_until(lambda: len(desk.commits) == 0)
    assert desk.seqs() == [1]
