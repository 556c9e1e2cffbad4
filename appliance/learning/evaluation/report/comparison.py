"""The page of a comparison: who is better in what, and the parts on which the two disagree."""

from __future__ import annotations

from html import escape

from appliance.learning.evaluation.compare import METHOD, Comparison, Difference
from appliance.learning.evaluation.evaluation import Evaluation
from appliance.learning.evaluation.report.chart import whiskers
from appliance.learning.evaluation.report.evaluation import parts_of, rule_of
from appliance.learning.evaluation.report.page import card, colour, page, table
from appliance.learning.evaluation.report.picture import Picture, key

PAIRS = 6


def comparison_page(comparison: Comparison) -> str:
    """Return the whole page."""
    figures = comparison.figures()
    names = [one.model.get("name", letter) for letter, one in (("A", comparison.first), ("B", comparison.second))]
    title = f"{names[0]} (A) against {names[1]} (B)"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(parts_of(figures["a"]))}</p>',
        *(f'<p class="soft">{letter}: {escape(rule_of(figures[letter.lower()]))}</p>' for letter in "AB"),
        f'<p class="verdict">{escape(comparison.verdict)}</p>',
        f'<div class="card">{difference_table(comparison, names)}</div>',
        f'<h2>Differences, B minus A</h2><div class="pair">{difference_cards(comparison)}</div>',
        *disagreements(comparison),
        f'<h2>Method</h2><p class="soft">{escape(METHOD)}. {escape(figures["a"]["method"])}.</p>',
    ]
    return page(title, body)


def difference_table(comparison: Comparison, names: list[str]) -> str:
    """Return the figures of both and what lies between them."""
    rows = [
        [
            one.title,
            _number(one.first),
            _number(one.second),
            "" if one.difference is None else f"{one.difference:+.4f}",
            "" if one.ci95 is None else f"{one.ci95[0]:+.4f} to {one.ci95[1]:+.4f}",
            "" if one.discordant is None else f"{len(one.discordant.only_first)} / {len(one.discordant.only_second)}",
            "" if one.discordant is None else f"{one.discordant.p:.3f}",
            one.better or "not shown",
        ]
        for one in comparison.differences
    ]
    headings = ["", f"A: {names[0]}", f"B: {names[1]}", "B - A", "95 %", "only A / only B wrong", "p", "better"]
    return table(headings, rows)


def difference_cards(comparison: Comparison) -> str:
    """Draw better-when-higher and better-when-lower apart: on one axis they would mislead."""
    cards = []
    for title, is_less_better in (("More is better", False), ("Less is better", True)):
        rows = [
            (one.title, one.difference, one.ci95, _shade(one))
            for one in comparison.differences
            if one.is_less_better == is_less_better and one.difference is not None and one.ci95 is not None
        ]
        if rows:
            limit = max(0.01, *(abs(end) for _, _, ends, _ in rows for end in ends)) * 1.1
            cards.append(card(title, whiskers(rows, limit)))
    return "".join(cards)


def _shade(one: Difference) -> str:
    return {"A": "var(--bad)", "B": "var(--good)", None: colour(7)}[one.better]


def disagreements(comparison: Comparison) -> list[str]:
    """Show the parts on which only one of the two is wrong."""
    sections = []
    for one in comparison.differences:
        if one.discordant is None:
            continue
        parts = one.discordant.only_first + one.discordant.only_second
        sections.append(f"<h2>Only one of the two wrong: {escape(one.title)}</h2>")
        if not parts:
            sections.append('<p class="soft">None: both judge these parts alike.</p>')
            continue
        pictures = [_pair(comparison, part) for part in parts[:PAIRS]]
        more = f'<p class="soft">{len(parts)} parts, the first {len(pictures)} are shown.</p>'
        sections.append(f'{more}{key()}<div class="pictures pairs">{"".join(pictures)}</div>')
    return sections


def _pair(comparison: Comparison, part: str) -> str:
    """Show the first image of a part, once with each model's detections."""
    place = [image.part for image in comparison.first.images].index(part)
    return "".join(
        _picture(evaluation, place, letter)
        for letter, evaluation in (("A", comparison.first), ("B", comparison.second))
    )


def _picture(evaluation: Evaluation, place: int, letter: str) -> str:
    judged = evaluation.judged[place]
    caption = f"{letter} says {'NG' if judged.is_ng else 'OK'}"
    image = evaluation.images[place]
    return Picture(
        image,
        evaluation.kinds,
        evaluation.class_names,
        image.boxes[:0],
        judged.defects,
        judged.others,
        caption,
    ).html()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
