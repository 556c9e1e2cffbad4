"""A campaign's figures, as one JSON document and in a few lines for people."""

from collections import defaultdict
from typing import Any

from appliance.counters import percentile
from appliance.testing.faults.campaign import Outcome
from appliance.testing.faults.evidence import Judgement
from appliance.testing.faults.fuzz import FuzzOutcome
from appliance.testing.faults.plan import Kind
from appliance.testing.faults.wire_judge import noticed_after_s

_SHOWN_BREACHES = 20


def report(outcome: Outcome, *, seed: int) -> dict[str, Any]:
    """Sum a campaign up; `is_kept` tells whether every promise was."""
    judgement = outcome.judgement
    done = [episode for episode in outcome.episodes if episode.skipped is None]
    return {
        "seed": seed,
        "is_kept": not judgement.broken,
        "took_s": round(outcome.took_s, 1),
        "faults": len(done),
        "power_cuts": sum(episode.fault.kind is Kind.POWER_CUT for episode in done),
        "kills": sum(episode.fault.deaths for episode in done),
        "by_kind": _counts(episode.fault.kind.value for episode in done),
        "kills_by_process": _counts(name for episode in done if episode.fault.deaths for name in episode.fault.victims),
        "left_out": sorted({episode.skipped for episode in outcome.episodes if episode.skipped is not None}),
        "recovery_s": recoveries(outcome),
        "publisher_missed_s": summary(noticed_after_s(outcome.evidence)),
        "figures": dict(sorted(judgement.figures.items())),
        "broken": _broken(judgement),
    }


def fuzz_report(outcome: FuzzOutcome, *, seed: int) -> dict[str, Any]:
    """Sum up what nonsense did."""
    return {
        "seed": seed,
        "is_kept": not outcome.judgement.broken,
        "took_s": round(outcome.took_s, 1),
        "sent": outcome.sent,
        "restarts": outcome.restarts,
        "growth_mb": outcome.growth_mb,
        "figures": dict(sorted(outcome.judgement.figures.items())),
        "broken": _broken(outcome.judgement),
    }


def _broken(judgement: Judgement) -> dict[str, Any]:
    return {
        promise: {"breaches": len(breaches), "first": breaches[:_SHOWN_BREACHES]}
        for promise, breaches in judgement.broken.items()
    }


def recoveries(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Seconds from a process's death, or from the end of another fault, to the next sign of health; by what was hit."""
    found: dict[str, list[float]] = defaultdict(list)
    for episode in outcome.episodes:
        if episode.skipped is None:
            fault = episode.fault
            hit = " and ".join(sorted(fault.victims))
            found[f"{fault.kind.value} {hit}" if fault.kind is Kind.STOP else hit or fault.kind.value].append(
                episode.recovery_s()
            )
            if fault.deaths:
                found["all kills"].append(episode.recovery_s())
    return {name: summary(values) for name, values in sorted(found.items())}


def summary(values: list[float]) -> dict[str, float]:
    """Number, median, 99th percentile and maximum."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(percentile(ordered, 50), 3),
        "p99": round(percentile(ordered, 99), 3),
        "max": round(max(ordered, default=0.0), 3),
    }


def _counts(names: Any) -> dict[str, int]:
    counted: dict[str, int] = defaultdict(int)
    for name in names:
        counted[name] += 1
    return dict(sorted(counted.items()))
