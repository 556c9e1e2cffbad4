"""`appliance camera …`: which cameras are there, what they can do; faults for simulated ones."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import load

# Each command imports what it needs when it runs: harvesters takes long to load.

app = typer.Typer(help="Look at cameras.", no_args_is_help=True)

_Camera = Annotated[str, typer.Argument(help="Camera name from the configuration.")]


@app.command("list")
def list_cameras(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the configured cameras and whatever else their producers find."""
    from appliance.box.cameras import find_cameras  # noqa: PLC0415 (see above)

    rows = [asdict(presence) for presence in find_cameras(load(find_config(config)))]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    _print_table(rows, ("name", "serial", "vendor", "model", "state", "detail"))


@app.command()
def features(camera: _Camera, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List a camera's features with their values; the camera must not be in use."""
    from appliance.box.cameras import camera_features  # noqa: PLC0415 (see above)

    rows = [asdict(feature) for feature in camera_features(load(find_config(config)), camera)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        row["entries"] = " ".join(row["entries"])
    _print_table(rows, ("name", "kind", "access", "value", "entries"))


@app.command()
def fault(
    camera: _Camera,
    kind: Annotated[str, typer.Argument(help="incomplete, lost, skip, black, frozen, disconnect …")],
    count: Annotated[int, typer.Option("--count", min=1, help="For so many exposures.")] = 1,
    config: ConfigOption = None,
) -> None:
    """Make a simulated camera do something wrong, also while the appliance runs."""
    from appliance.box.cameras import inject_fault  # noqa: PLC0415 (see above)

    inject_fault(load(find_config(config)), camera, kind, count)
    print(f"{camera}: {kind} for the next {count} exposure{'s' if count > 1 else ''}")


def _print_table(rows: list[dict[str, object]], headings: tuple[str, ...]) -> None:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if row[heading] is None else str(row[heading]) for heading in headings))
    Console().print(table)
