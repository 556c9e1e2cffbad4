"""The journal against a plain list, through any order of appending, ageing, dropping, crashing and reading."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.records.journal import Journal
from appliance.records.spans import IdSpans
from appliance.testing.journal_records import LEDGER_EPOCH, inspection, unrecorded


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now_ns = 1_800_000_000 * 10**9
        self.journal = self._opened()
        self.epoch = self.journal.epoch
        self.rows: list[dict[str, Any]] = []  # of all times; seq is the place, counted from 1
        self.oldest = 1
        self.inspections: set[int] = set()
        self.triggers: set[int] = set()
        self.acknowledged: dict[str, int] = {}

    def _opened(self) -> Journal:
        return Journal.open(Path(self.folder.name) / "journal", partition_minutes=1, clock=lambda: self.now_ns)

    @rule(numbers=st.lists(st.integers(1, 300), unique=True, min_size=1, max_size=20))
    def append_inspections(self, numbers: list[int]) -> None:
        records = [inspection(number) for number in numbers if number not in self.inspections]
        assert self.journal.append(records) == [len(self.rows) + 1 + n for n in range(len(records))]
        self.rows += records
        self.inspections.update(record["inspection_id"] for record in records)
        self.triggers.update(record["inspection_id"] for record in records)

    @rule(first=st.integers(1, 300), length=st.integers(1, 50))
    def append_a_range(self, first: int, length: int) -> None:
        record = unrecorded(first, first + length - 1)
        assert self.journal.append([record]) == [len(self.rows) + 1]
        self.rows.append(record)
        self.triggers.update(range(first, first + length))

    @rule(seconds=st.integers(-90, 90))
    def let_the_clock_move(self, seconds: int) -> None:
        self.now_ns += seconds * 10**9

    @precondition(lambda self: len(self.journal.partitions()) > 1)
    @rule()
    def drop_the_oldest(self) -> None:
        oldest = self.journal.partitions()[0]
        self.journal.drop(oldest)
        assert oldest.last_seq is not None
        self.oldest = oldest.last_seq + 1

    @rule()
    def start_anew(self) -> None:
        self.journal.close()
        self.journal = self._opened()

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), consumer=st.sampled_from(["mes", "archive"]))
    def acknowledge(self, data: st.DataObject, consumer: str) -> None:
        seq = data.draw(st.integers(0, len(self.rows)))
        self.acknowledged[consumer] = max(seq, self.acknowledged.get(consumer, 0))
        assert self.journal.acknowledge(consumer, seq) == self.acknowledged[consumer]

    @rule(first=st.integers(1, 400), length=st.integers(0, 100), limit=st.integers(1, 60))
    def read(self, first: int, length: int, limit: int) -> None:
        rows = self.journal.read(first, first + length, limit)
        wanted = range(max(first, self.oldest), min(first + length, len(self.rows)) + 1)[:limit]
        assert [seq for seq, _ in rows] == list(wanted)
        for seq, body in rows:
            assert json.loads(body) == {**self.rows[seq - 1], "epoch": self.epoch, "seq": seq}

    @rule(first=st.integers(0, 300))
    def ask_for_triggers(self, first: int) -> None:
        assert self.journal.triggers(LEDGER_EPOCH, "cam0", first) == {n for n in self.triggers if n >= first}
        assert self.journal.last_trigger(LEDGER_EPOCH, "cam0") == max(self.triggers, default=None)
        assert self.journal.has_inspection(LEDGER_EPOCH, first) == (first in self.inspections)

    @invariant()
    def figures_agree(self) -> None:
        assert (self.journal.epoch, self.journal.head_seq) == (self.epoch, len(self.rows))
        assert self.journal.oldest_seq == self.oldest
        assert self.journal.acknowledged() == self.acknowledged

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()


TestJournalAgainstAList = JournalMachine.TestCase
TestJournalAgainstAList.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


class SpansMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.spans, self.ids = IdSpans(), set[int]()

    @rule(first=st.integers(0, 60), length=st.integers(1, 12))
    def add(self, first: int, length: int) -> None:
        self.spans.add("e", "c", first, first + length - 1)
        self.ids.update(range(first, first + length))

    @invariant()
    def same_ids_in_as_few_spans_as_possible(self) -> None:
        assert self.spans.ids_from("e", "c", 0) == self.ids
        assert self.spans.ids_from("e", "c", 30) == {number for number in self.ids if number >= 30}
        assert self.spans.last("e", "c") == max(self.ids, default=None)
        assert all(self.spans.has("e", "c", number) == (number in self.ids) for number in range(75))
        runs = sum(number - 1 not in self.ids for number in self.ids)
        assert len(list(self.spans)) == runs


TestSpansAgainstASet = SpansMachine.TestCase
TestSpansAgainstASet.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
