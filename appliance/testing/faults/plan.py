"""What is done to the appliance, in which order: drawn from a seed before anything runs, so that it can be replayed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Faults; `inflict.py` says how each one is done."""

    KILL = "kill"
    KILL_AGAIN = "kill_again"
    KILL_TOGETHER = "kill_together"
    STOP = "stop"
    DISK_FULL = "disk_full"
    NO_SPACE = "no_space"
    DISK_ERROR = "disk_error"
    SLOW_DISK = "slow_disk"
    FROZEN_SUBSCRIBER = "frozen_subscriber"
    KILL_MES = "kill_mes"
    CLOCK_JUMP = "clock_jump"
    POWER_CUT = "power_cut"
    """Only by `power_cuts.py`."""


OTHERS: dict[Kind, int] = {
    Kind.STOP: 8,
    Kind.DISK_FULL: 2,
    Kind.NO_SPACE: 2,
    Kind.DISK_ERROR: 2,
    Kind.SLOW_DISK: 3,
    Kind.FROZEN_SUBSCRIBER: 1,
    Kind.KILL_MES: 2,
    Kind.CLOCK_JUMP: 2,
}
"""Faults that kill no process of the appliance, and how often each one is drawn, relative to the others."""
_KILLS: dict[Kind, int] = {Kind.KILL: 14, Kind.KILL_AGAIN: 3, Kind.KILL_TOGETHER: 3}
_ON_DISK = frozenset({Kind.DISK_FULL, Kind.NO_SPACE, Kind.DISK_ERROR, Kind.SLOW_DISK})
_OTHERS_PER_KILL = 0.12
_VICTIMS = {Kind.KILL: 1, Kind.KILL_AGAIN: 1, Kind.KILL_TOGETHER: 2, Kind.STOP: 1}
_KILLS_ALL = 0.1
"""Of the kills together, so many take everybody."""
_HOLD_S = {
    Kind.KILL: (0.0, 0.0),
    Kind.KILL_AGAIN: (0.0, 0.8),
    Kind.KILL_TOGETHER: (0.0, 0.0),
    Kind.KILL_MES: (0.0, 0.0),
    Kind.STOP: (0.1, 3.0),
    Kind.CLOCK_JUMP: (0.3, 1.5),
}
"""Shortest and longest time that a kind lasts, where it isn't half a second to three."""


@dataclass(frozen=True)
class Fault:
    """One thing done to the appliance.

    Attributes:
        victims: Processes that it hits; of a disk's fault: one that dies in the middle of it.
        hold_s: How long it lasts; of KILL_AGAIN: from the victim's restart to its second death.
        amount: What else a kind needs: seconds of a clock jump.
        pause_s: From the recovery to the next fault.
    """

    number: int
    kind: Kind
    victims: tuple[str, ...] = ()
    hold_s: float = 0.0
    amount: float = 0.0
    pause_s: float = 0.0

    @property
    def deaths(self) -> int:
        """Processes that it kills."""
        if self.kind is Kind.STOP:
            return 0
        return 2 if self.kind is Kind.KILL_AGAIN else len(self.victims)

    def __str__(self) -> str:
        parts = [f"{self.number:4d}", self.kind.value, " and ".join(self.victims)]
        parts += [f"{self.hold_s * 1000:.0f} ms"] if self.hold_s else []
        parts += [f"{self.amount:+.0f} s"] if self.amount else []
        return " ".join(part for part in parts if part)


def make_plan(seed: int, kills: int, processes: Sequence[str]) -> list[Fault]:
    """Draw a plan that kills so many times.

    Args:
        processes: Names of the process table.
    """
    chance = random.Random(seed)
    plan: list[Fault] = []
    deaths = 0
    while deaths < kills:
        if chance.random() < _OTHERS_PER_KILL:
            kind = chance.choices(list(OTHERS), list(OTHERS.values()))[0]
        else:
            kind = chance.choices(list(_KILLS), list(_KILLS.values()))[0]
        fault = draw(chance, len(plan) + 1, kind, processes)
        if deaths + fault.deaths <= kills:
            plan.append(fault)
            deaths += fault.deaths
    return plan


def draw(chance: random.Random, number: int, kind: Kind, processes: Sequence[str]) -> Fault:
    """Draw the details of one fault."""
    shortest_s, longest_s = _HOLD_S.get(kind, (0.5, 3.0))
    victims = chance.randint(0, 1) if kind in _ON_DISK else _VICTIMS.get(kind, 0)
    if kind is Kind.KILL_TOGETHER and chance.random() < _KILLS_ALL:
        victims = len(processes)
    return Fault(
        number,
        kind,
        victims=tuple(chance.sample(list(processes), victims)),
        hold_s=chance.uniform(shortest_s, longest_s),
        amount=chance.choice((-3600, 3600)) if kind is Kind.CLOCK_JUMP else 0,
        pause_s=chance.uniform(0.05, 0.4),
    )
