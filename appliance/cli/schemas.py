"""`appliance schemas`: what goes over the sockets, for programs and for people who write programs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.contracts.catalogue import contract_files, differing_files, packaged_directory, write_files
from appliance.errors import ConfigError, ExitCode


def schemas(
    out: Annotated[Path | None, typer.Option(help="Write the files into this directory; default: print them.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare the files with the code.")] = False,
) -> None:
    """Give the JSON Schema of every message and the AsyncAPI document."""
    directory = out or packaged_directory()
    if check:
        if differing := differing_files(directory):
            print(f"{directory}: differ from the code: {', '.join(differing)}", file=sys.stderr)
            sys.exit(ExitCode.CHECK_FAILED)
        return
    if out is None:
        print(json.dumps({name: json.loads(text) for name, text in contract_files().items()}, indent=2))
        return
    try:
        for path in write_files(directory):
            print(path)
    except OSError as error:
        raise ConfigError(f"{error.filename}: can't be written: {error.strerror}; give another --out") from error
