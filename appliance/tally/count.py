"""Counts of a camera's triggers, from the two files alone: what anybody may check without asking a process."""

from dataclasses import dataclass, field
from pathlib import Path

from appliance.tally.announced import AnnouncedReader
from appliance.tally.decided import DecidedReader, Totals


@dataclass(frozen=True)
class TallyCounts:
    """Triggers of one camera since its tally files were made.

    Attributes:
        file_id: Ledger epoch and first id of the file: another one after a reboot, or with another state directory.
        open: Announced and not decided, each one looked up.
        oldest_open_exposed_ns: Exposure of the oldest open trigger, CLOCK_MONOTONIC; None when none is open.
        unannounced: Decided without having been announced: always 0 unless the ledger is broken.
    """

    triggers: int = 0
    ok: int = 0
    ng: int = 0
    unknown: int = 0
    open: int = 0
    unannounced: int = 0
    unknown_by_reason: dict[str, int] = field(default_factory=dict)
    oldest_open_exposed_ns: int | None = None
    file_id: tuple[str, int] | None = None

    @property
    def invariant_holds(self) -> bool:
        """Whether announced = ok + ng + unknown + open, and nothing was decided that was not announced."""
        return self.triggers == self.ok + self.ng + self.unknown + self.open and self.unannounced == 0


def count(runtime_dir: Path, camera: str) -> TallyCounts:
    """Count a camera's triggers. Decisions are read before announcements, so that running writers can't fool it.

    Raises:
        TallyError: A file is foreign.
    """
    decided, announced = DecidedReader(runtime_dir, camera), AnnouncedReader(runtime_dir, camera)
    try:
        totals = decided.totals()
        first_id = announced.reopen()
        if first_id is None:
            return TallyCounts()
        return _count(first_id, totals or Totals(settled_id=first_id - 1), decided, announced)
    finally:
        decided.close()
        announced.close()


def _count(first_id: int, totals: Totals, decided: DecidedReader, announced: AnnouncedReader) -> TallyCounts:
    head = announced.last_id() or first_id - 1
    exposed_when_open: list[int] = []
    for number in range(totals.settled_id + 1, head + 1):
        decision, trigger = decided.read(number), announced.read(number)
        if decision is not None:
            totals.add(decision)
        elif trigger is not None:
            exposed_when_open.append(trigger.exposed_ns)
    return TallyCounts(
        triggers=head - first_id + 1,
        ok=totals.ok,
        ng=totals.ng,
        unknown=totals.unknown,
        open=len(exposed_when_open),
        unannounced=_unannounced_after(head, decided, announced),
        unknown_by_reason={str(reason.word): n for reason, n in sorted(totals.by_reason.items())},
        oldest_open_exposed_ns=min(exposed_when_open, default=None),
        file_id=(announced.epoch or "", first_id),
    )


def _unannounced_after(head: int, decided: DecidedReader, announced: AnnouncedReader) -> int:
    number = head + 1
    while decided.read(number) is not None and announced.read(number) is not None:
        number += 1  # announced and decided since we looked
    beyond = 0
    while decided.read(number + beyond) is not None:
        beyond += 1
    return beyond
