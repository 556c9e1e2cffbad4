"""`appliance model bench`: how fast a model is here, on each execution provider."""

import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from appliance.cli.model_choice import ModelArgument, ModelsDirOption, find_bundle
from appliance.cli.options import ConfigOption, JsonOption
from appliance.errors import ModelError
from appliance.modelling import load_bundle

# The benchmark is imported when the command runs: ONNX Runtime would slow every other command down.

_BATCHES = (1, 2, 4, 8)
_ALL_COUNTS_UP_TO = 4


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance model`."""
    app.command("bench")(bench)


def bench(
    model: ModelArgument,
    *,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", help="cpu, openvino, cuda, tensorrt; may be repeated. Default: all that are here."),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option("--batch", min=1, max=64, help="May be repeated; default: 1, 2, 4 and 8.")
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", min=1, max=256, help="May be repeated; default: from 1 to all cores."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=2, help="Runs of each combination.")] = 20,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on each provider, batch size and number of threads, all in turn: ms per frame, frames/s, CPU."""
    from appliance.box.bench.model import bench_model  # noqa: PLC0415 (see above)
    from appliance.modelling.session import available_providers  # noqa: PLC0415

    bundle = load_bundle(find_bundle(model, models_dir, config))
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(bundle.name, total=rounds)
        figures = bench_model(
            bundle,
            providers=provider or available_providers(),
            batches=sorted(set(batch or _BATCHES)),
            threads=sorted(set(threads or _thread_counts(len(os.sched_getaffinity(0))))),
            rounds=rounds,
            progress=lambda done, _total: bar.update(task, completed=done),
        )
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)
    if provider and figures["failed"]:  # what nobody asked for is only noted
        raise ModelError(figures["failed"][0]["error"])


def _thread_counts(cores: int) -> list[int]:
    """Give 1 … all cores; on many cores 1, 2, 4 and so on, all but one, and all."""
    if cores <= _ALL_COUNTS_UP_TO:
        return list(range(1, cores + 1))
    doubling = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [*doubling, cores - 1, cores]


def _print(figures: dict[str, Any]) -> None:
    here = figures["machine"]
    console = Console(highlight=False)
    console.print(f"{figures['model']['name']} on {here['cpu']}, {here['cores']} cores; {figures['onnxruntime']}")
    table = Table("provider", "threads", "batch", "ms a frame, p50", "p99", "frames/s", "CPU ms a frame")
    for column in table.columns[1:]:
        column.justify = "right"
    fastest = max((row["frames_per_s"] for row in figures["rows"]), default=None)
    for row in figures["rows"]:
        took = row["ms_per_frame"]
        words = (row["provider"].removesuffix("ExecutionProvider"), str(row["threads"]), str(row["batch"]))
        numbers = (f"{took['p50']:.1f}", f"{took['p99']:.1f}", f"{row['frames_per_s']:.1f}")
        style = "bold" if row["frames_per_s"] == fastest else None
        table.add_row(*words, *numbers, f"{row['cpu_ms_per_frame']:.1f}", style=style)
    if figures["rows"]:
        console.print(table)
    for failure in figures["failed"]:
        console.print(f"{failure['provider']}: {failure['error']}", soft_wrap=True)
