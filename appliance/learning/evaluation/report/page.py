"""The page itself: head, style, and the small pieces that sections are built of."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark;
  --ground: #fbfbf9; --card: #ffffff; --ink: #1d2126; --soft: #646b75; --line: #dcdfe3; --accent: #0b62a8;
  --good: #1a7f4b; --bad: #c1362b; --c0: #0b62a8; --c1: #c2570c; --c2: #1a7f4b; --c3: #8e3fa8; --c4: #a57c00;
  --c5: #0d8a8f; --c6: #b4305f; --c7: #5d6472; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171a; --card: #1c2024; --ink: #e6e8ea; --soft: #9aa2ac; --line: #343a41; --accent: #6db3f2;
  --good: #58c78c; --bad: #ff8175; --c0: #6db3f2; --c1: #f79a5b; --c2: #58c78c; --c3: #cf8fe6; --c4: #e0bd4f;
  --c5: #59cfd4; --c6: #f283a9; --c7: #a7afba; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 74rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p { margin: .3rem 0; } .soft, figcaption, .axis text { color: var(--soft); fill: var(--soft); }
.verdict { border-left: 4px solid var(--accent); padding: .6rem 1rem; background: var(--card); margin: 1rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; margin-top: 1.2rem; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.tile .soft { white-space: nowrap; }
.tile b { display: block; font-size: 1.7rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(27rem, 1fr)); gap: .8rem; align-items: start; }
.card h2 { margin: 0 0 .4rem; } svg { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
.matrix td + td { text-align: center; }
.matrix td + td { border: 1px solid var(--line); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: .8rem; }
.pairs { grid-template-columns: repeat(4, 1fr); }
@media (max-width: 60rem) { .pairs { grid-template-columns: repeat(2, 1fr); } }
figure { margin: 0; } figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.pictures svg { width: 100%; border-radius: 4px; background: #000; }
svg text { font-size: 12px; } .axis line, .axis path { stroke: var(--line); fill: none; } .ink { stroke: var(--ink); }
.legend span { display: inline-block; margin-right: 1rem; white-space: nowrap; }
.legend i { display: inline-block; width: 1.1em; height: .25em; margin-right: .4em; vertical-align: middle; }
@media print { body { max-width: none; } .card, .tile, figure { break-inside: avoid; } }
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, body: Sequence[str], *, style: str = "", script: str = "") -> str:
    """Return a whole HTML document; the title is plain text, the body HTML.

    Args:
        style: CSS of its own, behind the common one.
        script: JavaScript of its own, at the end; no other script may run.
    """
    policy, tail = _POLICY, []
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
        policy, tail = f"{_POLICY}; script-src 'sha256-{digest}'", [f"<script>{script}</script>"]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>",
            *body,
            *tail,
            "</body></html>",
            "",
        ]
    )


def card(title: str, *body: str) -> str:
    """Return a framed section."""
    return f'<section class="card"><h2>{escape(title)}</h2>{"".join(body)}</section>'


def tile(title: str, value: str, *notes: str) -> str:
    """Return one big figure with what belongs to it; texts are plain."""
    lines = "".join(f'<div class="soft">{escape(note)}</div>' for note in notes)
    return f'<div class="tile"><div>{escape(title)}</div><b>{escape(value)}</b>{lines}</div>'


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table; headings are plain text, cells whole `<td>` elements or plain text."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{escape(content)}</td>"


def legend(names: Sequence[str], colours: Sequence[str]) -> str:
    """Return the names of a chart's lines with their colours."""
    items = (
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(names, colours, strict=True)
    )
    return f'<div class="legend soft">{"".join(items)}</div>'


def colour(index: int) -> str:
    """Return the CSS colour of the index-th line of a chart."""
    return f"var(--c{index % 8})"


def percent(value: float | None) -> str:
    """Write a rate."""
    return "none to judge" if value is None else f"{value:.2%}"


def interval(ends: Sequence[float] | None, *, is_rate: bool) -> str:
    """Write a 95 % interval."""
    if ends is None:
        return ""
    return f"{ends[0] * 100:.2f} to {ends[1] * 100:.2f} %" if is_rate else f"{ends[0]:.4f} to {ends[1]:.4f}"
