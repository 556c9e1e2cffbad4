"""Delivery: how many results a second become durable, what a commit takes, and what all of it costs the verdict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.box.bench.journal import bench_recorder, bench_rows
from appliance.box.bench.machine import machine
from appliance.box.bench.own_appliance import nearest_directory, own_appliance
from appliance.box.bench.verdict_latency import bench_verdict_latency
from appliance.box.machine_checks import filesystem_type
from appliance.config import ApplianceConfig, load_recipe

_DURABLE_PER_S = 5_000
_ADDED_P99_MS = 1.0
_ROWS_A_SECOND = 4_000
"""Records spooled for each second that the recorder shall be measured."""

_SETTLE_S = 1.0

Progress = Callable[[str], None]


def bench_delivery(
    config: ApplianceConfig,
    *,
    state_dir: Path | None = None,
    rounds: int = 5,
    seconds: float = 5.0,
    settle_s: float = _SETTLE_S,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Measure the journal alone, the recorder process, then verdicts with and without the recorder in turn.

    Args:
        config: Its first camera must replay images; `recorder.group_rows` is used.
        state_dir: On the disk that is to be measured; default the configuration's. Its content is left alone.
        seconds: For each measured window.
        settle_s: Before each window of verdicts.
        progress: Told in words what runs now.
    Returns:
        JSON-ready: `durable_results_per_s` (spool to result lane, through the recorder process),
        `commit_ms{p50,p99}` (groups of `group_rows`), `added_verdict_latency_ms{p50,p99}`, and what stands behind them.
    Raises:
        ConfigError: The configuration's first camera replays no images.
        JournalError: The disk can't be used.
        StageFailed: A process did not start.
    """
    recipe = load_recipe(config.recipe)
    disk = state_dir or config.state_dir
    progress("journal alone")
    with own_appliance(config, recipe, disk) as own:
        rows = bench_rows(own.config.state_dir, group_rows=config.recorder.group_rows, seconds=seconds)
    progress("recorder: spool to result lane")
    with own_appliance(config, recipe, disk) as own:
        recorder = bench_recorder(own, round(_ROWS_A_SECOND * seconds))
    progress(f"verdicts with and without the recorder, {rounds} rounds")
    latency = bench_verdict_latency(config, recipe, disk, rounds=rounds, seconds=seconds, settle_s=settle_s)
    return {
        "machine": machine(),
        "disk": {"path": str(nearest_directory(disk)), "file_system": filesystem_type(disk)},
        "durable_results_per_s": recorder["results_per_s"],
        "commit_ms": rows["commit_ms"],
        "added_verdict_latency_ms": latency["added_ms"],
        "targets": _targets(recorder["results_per_s"], latency["added_ms"]["p99"]),
        "group_rows": config.recorder.group_rows,
        "record_bytes": recorder["record_bytes"],
        "journal_alone_rows_per_s": rows["rows_per_s"],
        "spool_append_ms": recorder["spool_append_ms"],
        "verdict_latency_ms": {
            "without_recorder": latency["without_recorder_ms"],
            "with_recorder": latency["with_recorder_ms"],
        },
        "rounds": latency["rounds"],
        "load": latency["load"],
    }


def _targets(durable_per_s: float, added_p99_ms: float) -> list[dict[str, Any]]:
    return [
        {
            "name": "durable results a second",
            "measured": durable_per_s,
            "target": f">= {_DURABLE_PER_S:,}",
            "is_met": durable_per_s >= _DURABLE_PER_S,
        },
        {
            "name": "added verdict p99, ms",
            "measured": added_p99_ms,
            "target": f"< {_ADDED_P99_MS:g}",
            "is_met": added_p99_ms < _ADDED_P99_MS,
        },
    ]
