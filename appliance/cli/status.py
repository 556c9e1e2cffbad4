"""`appliance status`: how the running appliance is."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from appliance.box.status import appliance_status
from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import load


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show counts, rates and processes of the running appliance."""
    document = appliance_status(load(find_config(config)))
    if as_json:
        print(json.dumps(document, indent=2))
        return
    console = Console()
    console.print(_cameras(document["cameras"]))
    console.print(_processes(document["processes"]))
    holds = "yes" if document["invariant_holds"] else "NO"
    lane = document["verdict_lane"]
    console.print(f"every trigger has one outcome or is open: {holds}", highlight=False)
    console.print(f"verdict lane {lane['endpoint']}, verdict_seq {lane['verdict_seq']}", highlight=False)


def _cameras(cameras: dict[str, dict[str, Any]]) -> Table:
    """One column a camera: sixteen of them still fit better than twenty figures in a row."""
    table = Table("", *cameras)
    for key in next(iter(cameras.values())):
        table.add_row(key.replace("_", " "), *(_text(camera[key]) for camera in cameras.values()))
    return table


def _processes(processes: dict[str, dict[str, Any]]) -> Table:
    table = Table()
    for heading in ("process", "up", "pid", "up s", "restarts", "memory MB", "CPU %"):
        table.add_column(heading)
    for name, process in processes.items():
        numbers = (process[key] for key in ("pid", "up_s", "restarts", "rss_mb", "cpu_percent"))
        table.add_row(name, "yes" if process["up"] else "NO", *(_text(number) for number in numbers))
    return table


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return "" if value is None else str(value)
