"""Judgements and the report as tables for people."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from appliance.cli.result_text import local_time
from appliance.learning.review.judgement import Judgement
from appliance.learning.review.notes import report_notes

_SECTIONS = {
    "by_week": "ISO week", "by_class": "class", "by_camera": "camera", "by_recipe": "recipe", "by_model": "model",
}  # fmt: skip


def judgement_table(judgements: Sequence[Judgement], counted: set[Judgement]) -> Table:
    """Show judgements; those that were corrected later are dimmed."""
    table = Table("seq", "exposed", "verdict", "answer", "class", "note", "by", "said", box=None)
    for one in judgements:
        table.add_row(
            str(one.part.seq),
            local_time(one.part.captured_at),
            one.part.verdict,
            one.answer,
            one.class_name or "",
            one.note or "",
            one.by,
            local_time(one.at.isoformat()),
            style=None if one in counted else "dim strike",
        )
    return table


def print_report(figures: dict[str, Any], console: Console) -> None:
    """Show the report."""
    table = Table("", "escapes", "escape rate %", "false rejects", "false-reject rate %", box=None)
    table.caption = "found / judged / called so; in brackets: 95 % interval"
    table.add_row("in all", *_cells(figures["overall"]), style="bold")
    for key, title in _SECTIONS.items():
        if figures[key]:
            table.add_section()
        for name, one in figures[key].items():
            table.add_row(f"{title} {name}", *_cells(one))
    console.print(table)
    for note in report_notes(figures):
        console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)


def _cells(one: dict[str, Any]) -> tuple[str, str, str, str]:
    return (
        f"{one['escapes_found']} / {one['ok_judged']} / {one['ok_verdicts']}",
        _rate(one, "escape_rate"),
        f"{one['false_rejects_found']} / {one['ng_judged']} / {one['ng_verdicts']}",
        _rate(one, "false_reject_rate"),
    )


def _rate(one: dict[str, Any], rate: str) -> str:
    if one[rate] is None:
        return "not known yet"
    low, high = (100 * end for end in one[f"{rate}_ci95"])
    return f"{100 * one[rate]:.2f} ({low:.2f}..{high:.2f})"
