"""`appliance run`: the whole appliance in the foreground, on a desk or under test."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from appliance.box.desk_run import RunLimits, RunView, run_on_desk
from appliance.cli.live_view import LiveView
from appliance.cli.options import JsonOption
from appliance.cli.plain_views import JsonView, PlainView
from appliance.cli.summary import print_summary
from appliance.config import load


def run(
    ctx: typer.Context,
    config: Annotated[Path, typer.Option("--config", help="Configuration file.")] = Path("examples/demo.toml"),
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="End after so many verdicts.")] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0.1, help="End so many seconds after everything is up.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run all processes until Ctrl-C or a limit; show every verdict, then a summary.

    With --json each verdict is printed as received, one a line on stdout; everything else goes to stderr.
    """
    settings = load(config)
    limits = RunLimits(verdicts=frames, duration_s=duration)
    is_verbose = bool(ctx.parent and ctx.parent.params.get("verbose"))
    options = ("--verbose",) if is_verbose else ()
    if as_json:
        run_on_desk(settings, config, JsonView(), limits, options)
        return
    console = Console()
    if sys.stdout.isatty():
        with LiveView(console) as view:
            summary = run_on_desk(settings, config, view, limits, options)
    else:
        plain: RunView = PlainView()
        summary = run_on_desk(settings, config, plain, limits, options)
    print_summary(summary, console)
