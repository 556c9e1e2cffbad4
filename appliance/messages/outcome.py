"""An inspection's end with all that is known about it: what the verdict on the wire and the record are written from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.messages.finding import DEFAULT_VIEW, Finding
from appliance.messages.reason import Reason, VerdictWord
from appliance.messages.trigger import Trigger, TriggerFlag


@dataclass(frozen=True)
class View:
    """One view of a part: the trigger that took it, and what was found in it, if something was found in time."""

    camera: str
    trigger: Trigger
    finding: Finding | None = None
    name: str = DEFAULT_VIEW


@dataclass(frozen=True)
class Part:
    """What the line controller or the MES calls a part; all None where nobody announced it."""

    part_id: str | None = None
    lot: str | None = None
    job_id: str | None = None
    lane: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What an inspection ended with.

    Attributes:
        views: At least one; the first one's trigger gives the times.
        part: As announced.
        model: Name and sha256 of the model whose findings these are; None when no inspector was there.
        recipe: Name, version and sha256; None when it isn't known any more (recovered from the tally files).
        decided_ns: CLOCK_MONOTONIC at the decision; `published_at` on the wire.
        deadline_ns: CLOCK_MONOTONIC after which a receiver must discard the message.
    """

    line: str
    station: str
    ledger_epoch: str
    verdict_seq: int
    inspection_id: int
    views: Sequence[View]
    verdict: VerdictWord
    reason: Reason
    decided_ns: int
    deadline_ns: int
    part: Part = Part()
    model: dict[str, str] | None = None
    recipe: dict[str, Any] | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether any view came from a simulated camera or replayed files."""
        return any(TriggerFlag.SIMULATED in view.trigger.flags for view in self.views)
