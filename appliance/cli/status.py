"""`appliance status`: how the running appliance is."""

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from appliance.box.status import appliance_status
from appliance.box.whereabouts import find_config
from appliance.cli.drift_text import drift_lines
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
    for line in _models(document["models"]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    holds = "yes" if document["invariant_holds"] else "NO"
    lane = document["verdict_lane"]
    console.print(f"every trigger has one outcome or is open: {holds}", highlight=False)
    console.print(f"verdict lane {lane['endpoint']}, verdict_seq {lane['verdict_seq']}", highlight=False)
    for line in drift_lines(document["drift"]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in _recorder(document["result_lane"], document["recorder"]):
        console.print(line, highlight=False, soft_wrap=True)


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


def _models(models: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Say which model judges by each recipe, since when, and what is wrong with it."""
    for recipe, told in models.items():
        since = f", since {told['since'][:19]}Z by {told['by']}" if told["since"] else ""
        before = f", before it {told['previous']}" if told["previous"] else ""
        shadow = f", shadow {told['shadow']}" if told["shadow"] else ""
        loading = f", {told['loading']} is being loaded" if told["loading"] else ""
        yield f"recipe {recipe}: model {told['model']['name']}{since}{before}{shadow}{loading}"
        if told["fell_back_from"]:
            yield f"recipe {recipe}: fell back by itself, because {told['fell_back_from']} failed"
        if told["failed"]:
            yield f"recipe {recipe}: THE MODEL FAILS: {told['failed']}"


def _recorder(lane: dict[str, Any], recorder: dict[str, Any]) -> Iterator[str]:
    """Say in some lines what the recorder has, and what waits for it."""
    if lane["epoch"] is None:
        yield "result lane: the recorder is down; records wait in the spool, verdicts go on"
        return
    journal, intake, images, disk = (recorder[part] for part in ("journal", "intake", "images", "disk"))
    yield f"result lane {lane['endpoint']}, replay {lane['replay_endpoint']}"
    commit_ms = journal["commit_ms"]
    yield (
        f"journal epoch {lane['epoch']}, seq {lane['oldest_seq']} to {lane['head_seq']},"
        f" commit p50 {commit_ms['p50']} ms, p99 {commit_ms['p99']} ms;"
        f" waiting: {journal['rows_waiting']} rows, {intake['spool_bytes'] / 1e6:.1f} MB in the spool"
    )
    missing = f", missing: {_text(images['missing'])}" if images["missing"] else ""
    yield f"images stored {images['stored']}, waiting {images['waiting']}{missing}"
    yield f"disk {disk['level']}, {disk['free_mb']} MB free" + (f"; {disk['alarm']}" if disk["alarm"] else "")
    for name, consumer in lane["consumers"].items():
        kind = "required" if consumer["is_required"] else "seen"
        yield f"consumer {name} ({kind}): acknowledged {consumer['acknowledged']}, {consumer['lag']} behind"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return "" if value is None else str(value)
