"""The closing table of a run."""

from rich.console import Console
from rich.table import Table

from appliance.box.desk_run import RunSummary
from appliance.tally import TallyCounts

_COUNTS = ("triggers", "OK", "NG", "UNKNOWN", "open")


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print counts, escapes and false rejects with their denominators, latency, copies and the invariant."""
    table = Table(title="Summary of this run", title_justify="left")
    table.add_column("camera")
    for heading in _COUNTS:
        table.add_column(heading, justify="right")
    table.add_column("copies/frame", justify="right")
    for camera, counts in summary.counts.items():
        table.add_row(camera, *_numbers(counts), _copies(summary, camera))
    console.print(table)
    for line in _lines(summary):
        console.print(line, highlight=False)


def _lines(summary: RunSummary) -> list[str]:
    latency = summary.latency_ms
    lines = [
        f"UNKNOWN at {camera}: {_reasons(counts)}"
        for camera, counts in summary.counts.items()
        if counts.unknown_by_reason
    ]
    lines.extend(summary.scoreboard.lines() if summary.scoreboard else [])
    lines.append(f"latency, exposure to verdict: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms")
    restarted = [f"{name} {times} times" for name, times in summary.restarts.items() if times]
    if restarted:
        lines.append(f"restarted: {', '.join(restarted)}")
    triggers = sum(counts.triggers for counts in summary.counts.values())
    lines.append(
        f"every trigger has one verdict: {'yes' if summary.invariant_holds else 'NO'}"
        f" ({triggers} triggers, {summary.received} verdicts received here)"
    )
    lines.append(
        f"results on disk: {summary.results}; appliance results list --config {summary.config_path} shows them"
    )
    return lines


def _numbers(counts: TallyCounts) -> list[str]:
    return [str(n) for n in (counts.triggers, counts.ok, counts.ng, counts.unknown, counts.open)]


def _reasons(counts: TallyCounts) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in counts.unknown_by_reason.items())


def _copies(summary: RunSummary, camera: str) -> str:
    copies = summary.status["cameras"][camera]["copies_per_frame"] if summary.status else None
    return "?" if copies is None else f"{copies:g}"
