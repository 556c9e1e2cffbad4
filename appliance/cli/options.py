"""Options that several commands share."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file; default: the running appliance's, else the service's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of text for people.")]


def check_html(path: Path | None, option: str = "--html") -> None:
    """Refuse before the long work what would fail after it.

    Raises:
        typer.BadParameter: No name of a page, or its folder can't be written.
    """
    if path is not None and (path.suffix.lower() not in (".html", ".htm") or not os.access(path.parent, os.W_OK)):
        raise typer.BadParameter(
            f"{option} {path}: expected a file name ending in .html in a folder that may be written"
        )


def typed_command() -> str:
    """What was typed, paths by their last part alone: folders of the machine are nobody's business."""
    return shlex.join(["appliance", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])
