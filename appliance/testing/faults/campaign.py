"""Carries a plan out on a running line and lets the judges look at what came of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.clock import NS_PER_S
from appliance.testing.faults.evidence import Episode, Evidence, Judgement
from appliance.testing.faults.inflict import inflict
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.plan import Fault
from appliance.testing.faults.wire_judge import judge_wire

SETTLE_S = 1.0
"""After the last recovery, before the books are closed: longer than any deadline."""


@dataclass(frozen=True)
class Outcome:
    """What was done and how it is judged."""

    episodes: Sequence[Episode]
    evidence: Evidence
    judgement: Judgement
    took_s: float


def run_campaign(line: FaultedLine, plan: Sequence[Fault], tell: Callable[[str], None]) -> Outcome:
    """Do every fault of the plan, each after the line has recovered from the one before, then judge.

    Args:
        line: Running.
        tell: Called with one line for each fault.
    """
    began_ns = time.monotonic_ns()
    first_pulse = line.train().last_before(began_ns) + 1
    episodes = []
    for fault in plan:
        episode = inflict(line, fault)
        if episode.skipped is None:
            line.await_recovery(episode)
        episodes.append(episode)
        tell(describe(episode))
        line.hold(fault.pause_s)
    line.hold(SETTLE_S)
    last_pulse = line.train().last_before(time.monotonic_ns() - int(SETTLE_S * NS_PER_S / 2))
    evidence = Evidence(
        line.world,
        line.train(),
        line.witness.heard,
        line.witness.presences,
        episodes,
        first_pulse=first_pulse,
        last_pulse=last_pulse,
    )
    judgement = Judgement()
    judge_wire(evidence, judgement)
    return Outcome(episodes, evidence, judgement, (time.monotonic_ns() - began_ns) / NS_PER_S)


def describe(episode: Episode) -> str:
    """One line about one fault."""
    if episode.skipped is not None:
        return f"{episode.fault}: left out: {episode.skipped}"
    parts = [f"recovered after {episode.recovery_s():.2f} s"]
    parts += [f"{episode.struck} calls struck"] if episode.struck is not None else []
    return f"{episode.fault}: {', '.join(parts)}"
