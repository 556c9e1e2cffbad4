"""Carries a plan out on a running line and lets the judges look at what came of it."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.testing.faults.evidence import Episode, Evidence, Judgement, PulseTrain
from appliance.testing.faults.inflict import inflict
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.open_parts import UnrecordedParts, unheard
from appliance.testing.faults.picture_judge import judge_orphans, judge_pictures
from appliance.testing.faults.plan import Fault
from appliance.testing.faults.row_judge import judge_rows
from appliance.testing.faults.wire_judge import judge_wire

SETTLE_S = 1.0
"""After the last recovery, and after the last deadline, before the books are closed."""
_RECORDED_WITHIN_S = 300.0
"""Recorder and pictures have a low priority: on a machine with other work they are far behind."""
_LATELY = 2000
"""Messages among which those of parts that were open when the books were closed are looked for."""


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
        tell(describe(episode, line.train()))
        line.hold(fault.pause_s)
    evidence = close_books(line, episodes, first_pulse)
    return Outcome(episodes, evidence, judge(line, evidence), (time.monotonic_ns() - began_ns) / NS_PER_S)


def close_books(line: FaultedLine, episodes: Sequence[Episode], first_pulse: int) -> Evidence:
    """Wait until the last parts are through, then gather what the judges may see."""
    books = line.books()
    last_pulse = line.train().last_before(time.monotonic_ns())
    line.hold(SETTLE_S)
    with contextlib.suppress(AssertionError):  # what is missing then, the judges will find
        line.until(lambda: _is_heard_out(line, last_pulse), "the last parts to be heard of")
        parts = UnrecordedParts(line.witness.heard, last_pulse)
        line.until(lambda: not parts.left(line.mes.rows), "the last parts to be recorded", _RECORDED_WITHIN_S)
    journal = line.replay()
    last_seq = journal[-1]["seq"]
    line.until(lambda: line.mes.rows and line.mes.rows[-1]["seq"] >= last_seq, "the MES to have everything")
    rows_replayed, changed = line.replayer.findings()
    return Evidence(
        line.world,
        line.train(),
        list(line.witness.heard),
        list(line.witness.presences),
        episodes,
        rows=[row for row in line.mes.rows if row["seq"] <= last_seq],
        journal=journal,
        books=books,
        mes_gaps=line.mes.gaps(),
        rows_replayed=rows_replayed,
        rows_changed=changed,
        first_pulse=first_pulse,
        last_pulse=last_pulse,
    )


def _is_heard_out(line: FaultedLine, last_pulse: int) -> bool:
    """Whether every part up to the last one was heard of, or never will be: later ones were, after its deadline."""
    heard, train, deadline_ns = line.witness.heard, line.train(), round(line.world.deadline_ms * NS_PER_MS)
    first_open = last_pulse - deadline_ns // train.period_ns
    if not unheard(heard[-_LATELY:], first_open, last_pulse):
        return True
    over_ns = train.rises_ns(last_pulse) + deadline_ns + round(SETTLE_S * NS_PER_S)
    return heard[-1].arrived_ns > over_ns and (heard[-1].pulse or 0) > last_pulse


def judge(line: FaultedLine, evidence: Evidence) -> Judgement:
    """Let every judge look at the evidence."""
    judgement = Judgement()
    judge_wire(evidence, judgement)
    judge_rows(evidence, judgement)
    judge_pictures(evidence, line.state_dir / "images", judgement)
    judge_orphans(evidence, line.state_dir / "images", judgement)
    return judgement


def describe(episode: Episode, train: PulseTrain) -> str:
    """One line about one fault: the pulses on either side of it help to understand a breach."""
    if episode.skipped is not None:
        return f"{episode.fault}: left out: {episode.skipped}"
    parts = [f"pulses {train.last_before(episode.began_ns)} to {train.last_before(episode.released_ns)}"]
    parts += [f"recovered after {episode.recovery_s():.2f} s"]
    parts += [f"{episode.struck} calls struck"] if episode.struck is not None else []
    return f"{episode.fault}: {', '.join(parts)}"
