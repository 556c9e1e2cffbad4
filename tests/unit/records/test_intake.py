"""Each record is taken in once, whatever was read before and whoever died."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from appliance.config import ApplianceConfig
from appliance.messages import Finding, Reason, Trigger, VerdictWord, encode, late_finding_record
from appliance.records.intake import Intake, Intaken
from appliance.records.journal import Journal
from appliance.tally import AnnouncedWriter, DecidedWriter, Decision, SpoolWriter, ledger_epoch
from appliance.testing.journal_records import inspection


class Bench:
    """A spool, a journal, and one recorder's intake after another."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        source = {"kind": "folder", "images": folder}
        self.config = ApplianceConfig.model_validate(
            {
                "line": "line1",
                "station": "tabs",
                "recipe": folder / "recipe.toml",
                "models_dir": folder,
                "runtime_dir": folder / "run",
                "state_dir": folder / "state",
                "cameras": [{"name": "cam0", "source": source}],
            }
        )
        self.config.runtime_dir.mkdir()
        self.config.state_dir.mkdir()
        self.epoch = ledger_epoch(self.config.state_dir)
        self.spool = stack.enter_context(closing(SpoolWriter(self.config.runtime_dir, 1 << 24)))
        self.journal = stack.enter_context(closing(Journal.open(self.config.state_dir / "journal")))
        self._stack = stack
        self.begin()

    def begin(self) -> None:
        """What a recorder does that starts."""
        self.intake = self._stack.enter_context(closing(Intake(self.config, self.journal)))

    def spool_inspections(self, *numbers: int) -> None:
        for number in numbers:
            self.spool.append(encode(inspection(number, ledger_epoch=self.epoch)))

    def spool_late(self, number: int) -> None:
        finding = Finding("cam0", number, VerdictWord.NG)
        names: dict[str, Any] = {"line": "line1", "station": "tabs", "ledger_epoch": self.epoch}
        record = late_finding_record(finding, **names, is_simulated=True, recorded_at="2026-11-22T21:00:00.000000Z")
        self.spool.append(encode(record))

    def take(self) -> list[Intaken]:
        return self.intake.take(100)

    def journal_and_forget(self, items: list[Intaken]) -> None:
        self.journal.commit([item.record for item in items])
        self.intake.done(items)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def ids(items: list[Intaken]) -> list[int]:
    return [item.record["inspection_id"] for item in items]


def test_what_was_journalled_but_not_forgotten_is_left_out_after_a_restart(bench: Bench) -> None:
    bench.spool_inspections(1, 2, 3)
    first, second, _ = bench.take()
    bench.journal.commit([second.record, first.record])
    bench.begin()
    assert ids(bench.take()) == [3]
    assert bench.intake.duplicates == 2


def test_only_what_was_there_at_the_start_is_backlog(bench: Bench) -> None:
    bench.spool_inspections(1)
    assert [item.is_backlog for item in bench.take()] == [True]
    bench.spool_inspections(2)
    assert [item.is_backlog for item in bench.take()] == [False]


def test_a_late_finding_is_journalled_once_although_it_closes_nothing(bench: Bench) -> None:
    bench.spool_inspections(1)
    bench.spool_late(1)
    taken = bench.take()
    assert [item.record["kind"] for item in taken] == ["inspection", "late_finding"]
    bench.journal.commit([item.record for item in taken])
    bench.begin()
    assert bench.take() == []
    bench.spool_late(1)
    assert len(bench.take()) == 1, "said again by a living inspector: it is another one"


def test_what_is_no_record_is_counted_and_passed_over(bench: Bench) -> None:
    bench.spool.append(b"[]")
    bench.spool.append(b"not JSON")
    bench.spool.append(b'{"kind":"inspection"}')
    bench.spool_inspections(1)
    assert ids(bench.take()) == [1]
    assert bench.intake.unreadable == 3


def test_a_segment_that_is_journalled_is_forgotten(bench: Bench) -> None:
    bench.spool_inspections(1, 2)
    bench.spool.close()
    bench.spool = bench._stack.enter_context(closing(SpoolWriter(bench.config.runtime_dir, 1 << 24)))
    bench.spool_inspections(3)
    taken = bench.take()
    bench.journal_and_forget(taken[1:])
    assert len(list((bench.config.runtime_dir / "spool").iterdir())) == 2
    bench.journal_and_forget(taken[:1])
    assert len(list((bench.config.runtime_dir / "spool").iterdir())) == 1


@pytest.mark.parametrize("is_publisher_there", [False, True])
def test_a_publisher_stopped_between_deciding_and_spooling_may_still_tell(
    bench: Bench, is_publisher_there: bool
) -> None:
    with ExitStack() as stack:
        run, state = bench.config.runtime_dir, bench.config.state_dir
        grabber = stack.enter_context(closing(AnnouncedWriter(run, state, "cam0")))
        first = grabber.next_trigger_id
        publisher = stack.enter_context(closing(DecidedWriter(run, "cam0", bench.epoch, first)))
        grabber.announce(Trigger(first, 0))
        decided_ns = time.monotonic_ns() - 2_000_000_000
        publisher.decide(
            Decision(first, 1, 1, VerdictWord.NG, Reason.NONE, is_sent=True, decided_ns=decided_ns, deadline_ns=9)
        )

        def say_turn(at_ns: int) -> None:
            (run / "status.publish.json").write_text(json.dumps({"at_monotonic_ns": at_ns}))

        def look() -> list[int]:
            bench.begin()
            bench.take()
            return ids(bench.intake.audit(time.monotonic_ns(), is_publisher_there=is_publisher_there))

        say_turn(decided_ns - 1)
        assert look() == ([] if is_publisher_there else [1])
        say_turn(decided_ns + 1)
        assert look() == [1]
