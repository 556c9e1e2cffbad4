"""The command tree and the one place where errors become exit codes."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from appliance.cli import stage
from appliance.errors import ApplianceError, ExitCode

GLOBAL_OPTIONS = ("--debug", "--verbose")
"""Accepted before and behind a command's name."""


def command_tree(noun: str | None) -> typer.Typer:
    """Build what a command line that begins with `noun` needs: importing all commands costs a second."""
    app = typer.Typer(
        name="appliance",
        help="Edge inspection appliance: from camera to verdict, every trigger answered.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(configure)
    if noun != "stage":
        from appliance.cli.commands import add_commands  # noqa: PLC0415 (see above)

        add_commands(app, noun)
    app.add_typer(stage.app, name="stage")
    return app


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
        rest = [word for word in words if word not in GLOBAL_OPTIONS]
        command_tree(rest[0] if rest else None)(args=chosen + rest)
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
