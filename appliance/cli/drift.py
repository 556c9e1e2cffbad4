"""`appliance drift`: what has changed since training and since last week, and which pictures show it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from appliance.box.status import read_status
from appliance.box.whereabouts import find_config
from appliance.cli.drift_text import comparisons_table, drift_lines, picture_text, troubles
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import ApplianceConfig, load
from appliance.errors import ConfigError
from appliance.learning.drift.acceptance import Acceptance, write_acceptance
from appliance.learning.drift.status import drift_dir, drift_status
from appliance.rollout.audit import whoami

app = typer.Typer(help="Have pictures and verdicts changed since training, and since last week?", no_args_is_help=True)


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show each signal against both references, the alarms that stand, and their pictures."""
    settings = load(find_config(config))
    drift = _status(settings)
    if as_json:
        print(json.dumps(drift, indent=2))
        return
    console = Console(soft_wrap=True)
    for stream in _streams(drift["comparisons"]):
        console.print(comparisons_table(stream))
        for trouble in troubles(stream):
            print(trouble)
    for line in drift_lines({**drift, "alarms": []}) if not drift["alarms"] else ():
        print(line)
    if not drift["comparisons"] and drift["is_watching"]:
        print(f"no window of {settings.drift.window_parts} parts and {settings.drift.window_minutes:g} minutes as yet")
    for alarm in drift["alarms"]:
        print(f"DRIFT since {alarm['raised_at'][:19]}Z: {alarm['detail']}")
        for kind in ("deviating", "typical"):
            for picture in alarm[kind]:
                print(f"  {kind}: {picture_text(picture, alarm['image_dir'])}")


@app.command()
def report(
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file.")] = None,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained page: distributions now and before, the course of days, and the pictures."""
    from appliance.learning.drift.report import drift_page, drift_report  # noqa: PLC0415 (numpy and OpenCV)

    settings = load(find_config(config))
    told = drift_report(settings, _status(settings))
    if as_json:
        print(json.dumps(told, indent=2))
    if html is not None:
        try:
            html.write_text(drift_page(told), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--html {html}: can't be written: {error.strerror}; choose another file") from error
    if html is None and not as_json:
        raise typer.BadParameter("give --html FILE, or --json; for the screen: appliance drift show")


@app.command()
def accept(
    camera: Annotated[str | None, typer.Option("--camera", help="Only this camera; default: all.")] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Only this recipe's parts; default: all.")] = None,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that the present is right, e.g. after a new lamp: what was before is no reference any more."""
    settings = load(find_config(config))
    if camera is not None:
        settings.camera(camera)
    acceptance = Acceptance(since=datetime.now(UTC), by=whoami(), camera=camera, recipe=recipe)
    write_acceptance(drift_dir(settings.state_dir), acceptance)
    if as_json:
        print(acceptance.model_dump_json(indent=2))
        return
    hours = settings.drift.reference_gap_hours + settings.drift.reference_hours_min
    print(
        f"what was before is no reference any more; in {hours} hours of work there is a new one; alarms against the "
        "training pictures stay: the model hasn't seen such pictures"
    )


def _status(config: ApplianceConfig) -> dict[str, Any]:
    return drift_status(config, read_status(config.runtime_dir, "drift"))


def _streams(comparisons: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for key, group in groupby(comparisons, key=lambda one: (one["recipe"], one["camera"], one["view"])):
        yield dict(zip(("recipe", "camera", "view"), key, strict=True)) | {"comparisons": list(group)}
