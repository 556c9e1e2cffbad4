"""The report as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from appliance.learning.evaluation.report.page import interval, page, percent, table, tile
from appliance.learning.review.notes import report_notes

Figures = Mapping[str, Any]
SECTIONS = (
    ("by_week", "Each week", "ISO week (UTC)"),
    ("by_class", "Each class", "class"),
    ("by_camera", "Each camera", "camera"),
    ("by_recipe", "Each recipe", "recipe"),
    ("by_model", "Each model", "model"),
)
_SHARES = {"ok": "escape_share_of_ok", "ng": "false_reject_share_of_ng"}


def report_page(figures: Figures, line: str, station: str) -> str:
    """Return the whole page."""
    overall = figures["overall"]
    title = f"Review of {line}/{station}"
    span = " to ".join((figures["since"] or "the oldest part in the journal", figures["until"] or "now"))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(span)}</p>',
        f'<div class="verdict">{"".join(f"<p>{escape(note)}</p>" for note in report_notes(figures))}</div>',
        f'<div class="tiles">{"".join(_tiles(overall))}</div>',
        *(_section(figures[key], title, heading) for key, title, heading in SECTIONS if figures[key]),
        f'<h2>Method</h2><p class="soft">{escape(figures["method"])}.</p>',
    ]
    return page(title, body)


def _tiles(overall: Figures) -> list[str]:
    return [
        _rate_tile("Escape rate", overall, "escape", "ng"),
        _rate_tile("False-reject rate", overall, "false_reject", "ok"),
        _seen_tile("Escapes found", overall, "escapes", "ok"),
        _seen_tile("False rejects found", overall, "false_rejects", "ng"),
    ]


def _rate_tile(title: str, figures: Figures, what: str, of: str) -> str:
    rate = figures[f"{what}_rate"]
    if rate is None:
        return tile(title, "not known yet", "judge OK and NG parts of each group")
    counts = f"about {figures[f'estimated_{what}s']:.1f} of {figures[f'estimated_{of}_parts']:.1f} {of.upper()} parts"
    return tile(title, percent(rate), counts, f"95 %: {interval(figures[f'{what}_rate_ci95'], is_rate=True)}")


def _seen_tile(title: str, figures: Figures, what: str, called: str) -> str:
    ends = interval(figures[f"{_SHARES[called]}_ci95"], is_rate=True)
    return tile(
        title,
        f"{figures[f'{what}_found']} of {figures[f'{called}_judged']}",
        f"judged, of {figures[f'{called}_verdicts']} parts called {called.upper()}",
        f"95 %: {ends}" if ends else "",
        f"{figures[f'{called}_pictures_not_reviewed']} pictures not reviewed yet",
    )


def _section(groups: Figures, title: str, heading: str) -> str:
    rows = [
        [
            name,
            f"{one['escapes_found']} / {one['ok_judged']} / {one['ok_verdicts']}",
            _rate(one, "escape_rate"),
            f"{one['false_rejects_found']} / {one['ng_judged']} / {one['ng_verdicts']}",
            _rate(one, "false_reject_rate"),
        ]
        for name, one in groups.items()
    ]
    headings = ["escapes / judged / called OK", "escape rate (95 %)", "false rejects / judged / called NG",
                "false-reject rate (95 %)"]  # fmt: skip
    return f'<h2>{escape(title)}</h2><div class="card">{table([heading, *headings], rows)}</div>'


def _rate(figures: Figures, rate: str) -> str:
    if figures[rate] is None:
        return "not known yet"
    return f"{percent(figures[rate])} ({interval(figures[f'{rate}_ci95'], is_rate=True)})"
