"""The command tree and the one place where errors become exit codes."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from appliance.cli import bench, camera, doctor, keys, line, results, run, schemas, stage, status, watch
from appliance.errors import ApplianceError, ExitCode

GLOBAL_OPTIONS = ("--debug", "--verbose")
"""Accepted before and behind a command's name."""

app = typer.Typer(
    name="appliance",
    help="Edge inspection appliance: from camera to verdict, every trigger answered.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("watch")(watch.watch)
app.command("doctor")(doctor.doctor)
app.command("schemas")(schemas.schemas)
app.add_typer(camera.app, name="camera")
app.add_typer(line.app, name="line")
app.add_typer(line.part_app, name="part")
app.add_typer(line.recipe_app, name="recipe")
app.add_typer(results.app, name="results")
app.add_typer(keys.app, name="keys")
app.add_typer(bench.app, name="bench")
app.add_typer(stage.app, name="stage")


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more, on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,  # noqa: ARG001 (main reads it)
) -> None:
    """Set the log level; `main` deals with --debug."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("appliance.wire.audit").setLevel(logging.INFO)  # who came in is worth a line at any level


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; a deliberate error is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = [word for word in words if word in GLOBAL_OPTIONS]
    is_debugging = "--debug" in chosen
    try:
        app(args=chosen + [word for word in words if word not in GLOBAL_OPTIONS])
    except ApplianceError as error:
        if is_debugging:
            raise
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our stdout has gone (`… | head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except Exception as error:
        if is_debugging:
            raise
        print(f"error: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr, flush=True)
        sys.exit(ExitCode.INTERNAL)
