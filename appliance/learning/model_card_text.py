"""A model card as Markdown, and as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from appliance.learning.evaluation.report.page import card, page, table
from appliance.learning.model_card import ModelCard, Section

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def as_markdown(model_card: ModelCard) -> str:
    """Write the card in Markdown; no text of the bundle can become markup."""
    blocks = [f"# {_plain(model_card.title)}", *(_markdown(section) for section in model_card.sections)]
    return "\n\n".join(blocks) + "\n"


def as_html(model_card: ModelCard) -> str:
    """Write the card as a self-contained page."""
    return page(
        model_card.title, [f"<h1>{escape(model_card.title)}</h1>", *map(_html, model_card.sections)], style=_STYLE
    )


_STYLE = """
td, th { white-space: normal; vertical-align: top; text-align: left; overflow-wrap: anywhere; }
.card { margin-top: 1rem; }
"""


def _markdown(section: Section) -> str:
    parts = [f"## {_plain(section.title)}"]
    if section.lines:
        parts.append("\n".join(f"- {_plain(line)}" for line in section.lines))
    if section.rows:
        rows = [_row(section.headings), _row(["---"] * len(section.headings), is_plain=True), *map(_row, section.rows)]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _row(cells: Sequence[str], *, is_plain: bool = False) -> str:
    return f"| {' | '.join(cell if is_plain else _plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _html(section: Section) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in section.lines)
    rows = [[f"<td>{escape(cell)}</td>" for cell in row] for row in section.rows]
    return card(section.title, lines, table(section.headings, rows) if rows else "")
