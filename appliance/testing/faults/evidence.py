"""What the judge of a campaign may know: what subscribers got, what the camera showed, and what was done when.

Times are CLOCK_MONOTONIC nanoseconds. A pulse is the number of an edge on the camera's trigger line: one part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.testing.faults.plan import Fault, Kind
from appliance.testing.faults.witness import Heard, Presence
from appliance.testing.faults.world import World

RECORDER = "record"
"""The process of the table whose work is seen at the MES and not on the verdict lane."""


@dataclass(frozen=True)
class PulseTrain:
    """The camera's trigger line: pulse k rises at `started_ns + k * period_ns`, whoever lives or dies."""

    started_ns: int
    period_ns: int

    def rises_ns(self, pulse: int) -> int:
        """When a pulse rises."""
        return self.started_ns + pulse * self.period_ns

    def last_before(self, at_ns: int) -> int:
        """The last pulse that has risen."""
        return (at_ns - self.started_ns) // self.period_ns


@dataclass
class Episode:
    """One fault as it happened.

    Attributes:
        released_ns: When it was over: recovery is counted from here. A killed process: its (last) death.
        verdict_ns: Arrival of the first verdict on an image that was taken after that.
        row_ns: When the first row about such an image was seen at the MES.
        struck: Calls that a failing or slow disk struck.
        skipped: Why it could not be done here.
    """

    fault: Fault
    began_ns: int
    released_ns: int = 0
    verdict_ns: int | None = None
    row_ns: int | None = None
    struck: int | None = None
    skipped: str | None = None

    @property
    def excuses_silence(self) -> bool:
        """Whether verdicts may be missing: without its grabber or publisher the appliance can't but be silent."""
        return self.fault.kind is Kind.POWER_CUT or any(
            name == "publish" or name.startswith("grab-") for name in self.fault.victims
        )

    @property
    def recovered_ns(self) -> int | None:
        """When what was hit worked again: the verdict lane, the MES's rows, or both."""
        if self.verdict_ns is None or self.row_ns is None:
            return self.verdict_ns
        if set(self.fault.victims) == {RECORDER}:
            return self.row_ns
        hits_recorder = RECORDER in self.fault.victims or not self.fault.victims
        return max(self.row_ns, self.verdict_ns) if hits_recorder else self.verdict_ns

    def recovery_s(self) -> float:
        """Seconds from the end of the fault to the recovery."""
        assert self.recovered_ns is not None, f"{self.fault}: never recovered"
        return (self.recovered_ns - self.released_ns) / NS_PER_S

    def covers(self, pulse_ns: int, deadline_ms: float) -> bool:
        """Whether a part was on its way at some moment between the fault and the recovery."""
        end_ns = self.verdict_ns if self.verdict_ns is not None else 2**63
        return self.began_ns - deadline_ms * NS_PER_MS <= pulse_ns <= end_ns


@dataclass(frozen=True)
class Evidence:
    """Everything the judge may look at.

    Attributes:
        heard: Verdict lane, in order of arrival.
        presences: When the subscriber knew that the publisher was there, or was not.
        rows: What the MES holds, in order of seq; None when there was no MES.
        journal: What replay gives at the end, in order of seq; None when there is no replay.
        books: The appliance's own counts, some time before the end; empty when nobody asked.
        mes_gaps: What the MES was told that it will never get.
        rows_replayed: Rows that a client read again and again meanwhile.
        rows_changed: Seqs of those that were not the same each time.
        first_pulse, last_pulse: What has to be accounted for.
    """

    world: World
    train: PulseTrain
    heard: Sequence[Heard]
    presences: Sequence[Presence] = ()
    episodes: Sequence[Episode] = ()
    rows: Sequence[dict[str, Any]] | None = None
    journal: Sequence[dict[str, Any]] | None = None
    books: Mapping[str, int] = field(default_factory=dict)
    mes_gaps: Sequence[tuple[Any, ...]] = ()
    rows_replayed: int = 0
    rows_changed: Sequence[int] = ()
    first_pulse: int = 0
    last_pulse: int | None = None

    @property
    def was_disk_full(self) -> bool:
        """Whether retention had to make room: then what was acknowledged may be gone, and pictures."""
        return any(each.fault.kind is Kind.DISK_FULL and each.skipped is None for each in self.episodes)


@dataclass
class Judgement:
    """What was found.

    Attributes:
        broken: By promise: each breach in one line; a promise that was kept is absent.
        figures: Counts of what was looked at and of what is allowed but worth knowing.
    """

    broken: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)

    def breach(self, promise: str, what: str) -> None:
        """Note a breach."""
        self.broken.setdefault(promise, []).append(what)

    def count(self, name: str, number: int = 1) -> None:
        """Add to a figure."""
        self.figures[name] = self.figures.get(name, 0) + number

    def told(self) -> str:
        """Each breach in a line, then the figures: whole, where pytest shortens everything that isn't a string."""
        breaches = [f"{promise}: {what}" for promise, breaches in self.broken.items() for what in breaches]
        return "\n".join([*breaches, f"figures: {dict(sorted(self.figures.items()))}"])
