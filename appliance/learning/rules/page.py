"""The page of a contest between a model and rules: figures, classes, parameters, price, and where each fails."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from appliance.learning.evaluation.compare import METHOD
from appliance.learning.evaluation.report.comparison import difference_cards, difference_table, disagreements
from appliance.learning.evaluation.report.evaluation import failures, parts_of, rule_of
from appliance.learning.evaluation.report.page import interval, page, percent, table
from appliance.learning.rules.parameter import declared, flat
from appliance.learning.rules.rivalry import Rival


def contest_page(rivals: Sequence[Rival], told: dict[str, Any]) -> str:
    """Return the whole page.

    Args:
        told: The JSON form of the contest.
    """
    title = f"{told['model']['name']} against rules on {told['dataset']['path']}"
    body = [f"<h1>{escape(title)}</h1>"]
    if told["rendered"]:
        body.append('<p class="verdict">Rendered parts, never photographed: a figure of rendered parts only.</p>')
    machine = told["machine"]
    body.append(f'<p class="soft">{escape(machine["cpu"])}, {machine["cores"]} cores; times are of one thread.</p>')
    for rival, figures in zip(rivals, told["rivals"], strict=True):
        body += _section(rival, figures)
    method = f"{METHOD}. {told['rivals'][0]['comparison']['a']['method']}."
    return page(title, [*body, f'<h2>Method</h2><p class="soft">{escape(method)}</p>'])


def _section(rival: Rival, figures: dict[str, Any]) -> list[str]:
    comparison = rival.comparison
    names = [one.model["name"] for one in (comparison.first, comparison.second)]
    both = figures["comparison"]
    lines = [
        parts_of(both["a"]),
        *(f"{letter}: {rule_of(both[letter.lower()])}" for letter in "AB"),
        f"The rules know {figures['knows']}.",
        *figures["notes"],
    ]
    return [
        f"<h2>{escape(names[0])} (A) against {escape(figures['title'])} (B)</h2>",
        *(f'<p class="soft">{escape(line)}</p>' for line in lines),
        f'<p class="verdict">{escape(comparison.verdict)}</p>',
        f'<div class="card">{table(["", *names], _rows(figures))}</div>',
        f'<div class="card">{difference_table(comparison, names)}</div>',
        f'<div class="pair">{difference_cards(comparison)}</div>',
        f'<h2>Each class</h2><div class="card">{_classes(figures, names)}</div>',
        *disagreements(comparison),
        *failures(comparison.first, f": {names[0]}"),
        *failures(comparison.second, f": {names[1]}"),
        f'<h2>Parameters set by hand: {figures["parameter_count"]}</h2><div class="card">{_parameters(rival)}</div>',
    ]


def figure_rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of figure, model, rules: each rate with its counts and 95 % interval."""
    both = figures["comparison"]
    rows: list[tuple[str, ...]] = [
        (title, *(_rate(figures["detections"][letter], *keys) for letter in "ab"))
        for title, keys in (
            ("precision (detections)", ("precision", "true_detections", "detections")),
            ("recall (defects)", ("recall", "found_defects", "defects")),
        )
    ]
    rows += [
        (title, *(_rate(both[letter], *keys) for letter in "ab"))
        for title, keys in (
            ("escape rate", ("escape_rate", "escapes", "ng_parts")),
            ("false-reject rate", ("false_reject_rate", "false_rejects", "ok_parts")),
        )
    ]
    for name, title in (("map50", "mAP@0.5"), ("map50_95", "mAP@0.5:0.95")):
        rows.append((title, *(_number(both[letter], name) for letter in "ab")))
    time, tuning = figures["time"], figures["tuning"]
    minutes = both["a"]["model"].get("training_minutes")
    rows += [
        ("CPU per part, median", f"{time['model_cpu_ms']:.1f} ms", f"{time['rules_cpu_ms']:.1f} ms"),
        ("parameters set by hand", "1 (the score)", str(figures["parameter_count"])),
        (
            "price of fitting",
            "unknown" if minutes is None else f"training {minutes:g} min",
            "from a file"
            if tuning is None
            else f"{tuning['trials']} trials on {tuning['images']} images, {tuning['cpu_seconds']:.0f} s of CPU",
        ),
    ]
    return rows


def _rows(figures: dict[str, Any]) -> list[list[str]]:
    return [list(row) for row in figure_rows(figures)]


def _rate(figures: dict[str, Any], rate: str, count: str, total: str) -> str:
    ends = interval(figures[f"{rate}_ci95"], is_rate=True)
    return f"{percent(figures[rate])} ({figures[count]} of {figures[total]}{f'; 95 %: {ends}' if ends else ''})"


def _number(figures: dict[str, Any], name: str) -> str:
    if figures[name] is None:
        return ""
    ends = interval(figures[f"{name}_ci95"], is_rate=False)
    return f"{figures[name]:.4f}{f' (95 %: {ends})' if ends else ''}"


def class_rows(figures: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the classes: found defects, precision and escapes of both."""
    both, rows = figures["comparison"], []
    for name, first in both["a"]["per_class"].items():
        second = both["b"]["per_class"][name]
        rates = [figures["detections"][letter]["per_class"][name] for letter in "ab"]
        rows.append(
            [
                name,
                *(f"{one['found_defects']} of {one['defects']}" for one in rates),
                *(f"{one['true_detections']} of {one['detections']}" for one in rates),
                *(f"{one['escapes']} of {one['ng_parts']}" for one in (first, second)),
                *(f"{one['false_rejects']} of {one['ok_parts']}" for one in (first, second)),
            ]
        )
    return rows


CLASS_HEADINGS = ("class", "found A", "found B", "true A", "true B", "escapes A", "escapes B", "rejects A", "rejects B")


def _classes(figures: dict[str, Any], names: Sequence[str]) -> str:
    key = (
        f"A: {names[0]}, B: {names[1]}. Found: of the labelled defects. True: of the detections of this class those "
        "on a defect of it. Escapes: of the NG parts that have it. Rejects: OK parts on which it was called."
    )
    return f'{table(list(CLASS_HEADINGS), class_rows(figures))}<p class="soft">{escape(key)}</p>'


def _parameters(rival: Rival) -> str:
    values = flat(rival.rules.parameters)
    rows = [
        [one.name, f"{values[one.name]:g}", one.unit, f"{one.low:g} to {one.high:g}", one.text]
        for one in declared(rival.rules.parameters)
    ]
    return table(["parameter", "value", "unit", "limits", "what it decides"], rows)
