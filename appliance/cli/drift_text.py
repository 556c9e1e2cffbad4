"""Drift in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

REFERENCES = {"training": "training pictures", "last_week": "last week"}
MEASURES = {"distance": "distance", "outside_share": "share outside", "difference": "difference"}


def drift_lines(drift: Mapping[str, Any]) -> Iterator[str]:
    """Say in some lines whether anything drifts, with pictures that show it."""
    if not drift["is_enabled"] and not drift["alarms"]:
        return
    if drift["is_enabled"] and not drift["is_watching"]:
        yield "drift: the watcher is down; alarms stand as they did"
    elif not drift["alarms"]:
        compared = sum(one["value"] is not None for one in drift["comparisons"])
        behind = f", {drift['rows_behind']} rows behind" if drift["rows_behind"] else ""
        trouble = f"; {drift['trouble']}" if drift["trouble"] else ""
        yield f"drift: none in {compared} of {len(drift['comparisons'])} comparisons{behind}{trouble}"
    for alarm in drift["alarms"]:
        yield f"DRIFT since {alarm['raised_at'][:19]}Z: {alarm['detail']}"
        for kind in ("deviating", "typical"):
            for picture in alarm[kind][:2]:
                yield f"  {kind}: {picture_text(picture, alarm['image_dir'])}"


def picture_text(picture: Mapping[str, Any], image_dir: str) -> str:
    """Say where a picture is, or that it isn't."""
    told = f"result {picture['seq']}, {picture['verdict']}, {picture['value']:.4g}"
    if picture["path"] is None:
        return f"missing: not stored, as most OK parts' pictures aren't ({told})"
    if not picture["is_there"]:
        return f"missing: retention removed {picture['path']} ({told})"
    return f"{image_dir}/{picture['path']} ({told})"


def comparisons_table(stream: Mapping[str, Any]) -> Table:
    """Write one stream's comparisons."""
    head = f"{stream['camera']}/{stream['view']}, recipe {stream['recipe']}"
    table = Table(title=head, box=None, title_justify="left")
    for heading in ("signal", "against", "now", "there", "measure", "value", "limit", ""):
        table.add_column(heading)
    for one in stream["comparisons"]:
        is_out = one["value"] is not None and one["value"] >= one["limit"]
        told = "DRIFT" if is_out else "not compared" if one["trouble"] else ""
        numbers = (number_text(one[key]) for key in ("current", "expected"))
        measured = (number_text(one[key]) for key in ("value", "limit"))
        signal = one["signal"].replace("_", " ").replace("class rate:", "rate of ")
        table.add_row(signal, REFERENCES[one["reference"]], *numbers, MEASURES[one["measure"]], *measured, told)
    return table


def troubles(stream: Mapping[str, Any]) -> list[str]:
    """Say once each why something isn't compared."""
    return list(
        dict.fromkeys(
            f"not compared with {REFERENCES[one['reference']]}: {one['trouble']}"
            for one in stream["comparisons"]
            if one["trouble"]
        )
    )


def number_text(value: float | None) -> str:
    """Write a figure."""
    return "" if value is None else f"{value:.4g}"
