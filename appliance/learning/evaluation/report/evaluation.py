"""The page of one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from appliance.learning.evaluation.class_figures import missed
from appliance.learning.evaluation.evaluation import METHOD, Evaluation
from appliance.learning.evaluation.operating_point import top_scores
from appliance.learning.evaluation.precision import IOU_AT_50, IOUS, Precision, recall_grid
from appliance.learning.evaluation.report.chart import Chart
from appliance.learning.evaluation.report.confusion import confusion_table
from appliance.learning.evaluation.report.page import card, colour, interval, legend, page, percent, table, tile
from appliance.learning.evaluation.report.picture import Picture, key
from appliance.learning.evaluation.threshold import WhatIf

PICTURES = 6
_STEPS = 101
_BINS = 25


def evaluation_page(evaluation: Evaluation) -> str:
    """Return the whole page."""
    figures = evaluation.figures()
    name = f"{figures['model'].get('name', 'model')} on {figures['dataset'].get('path', 'data set')}"
    body = [f"<h1>{escape(name)}</h1>", *evaluation_sections(evaluation)]
    return page(name, [*body, f'<h2>Method</h2><p class="soft">{escape(METHOD)}.</p>'])


def evaluation_sections(evaluation: Evaluation) -> list[str]:
    """Return what the page says between its title and its method: for pages that show more than one evaluation."""
    figures = evaluation.figures()
    lines = [parts_of(figures), rule_of(figures), *figures["dataset"].get("notes", [])]
    what_if = WhatIf.of(evaluation.images, evaluation.found)
    charts = [_ranking_card(evaluation), _what_if_card(what_if, figures), _histogram_card(what_if, figures)]
    is_detector = evaluation.precision is not None
    if evaluation.precision is not None:
        charts.append(_iou_card(evaluation.class_names, evaluation.precision))
    return [
        *(f'<p class="soft">{escape(line)}</p>' for line in lines),
        f'<div class="tiles">{"".join(tiles(figures))}</div>',
        *([f"<h2>Each class</h2>{_class_table(figures['per_class'])}"] if figures["per_class"] else []),
        f'<h2>Where it stands</h2><div class="pair">{"".join(charts)}</div>',
        *([f'<h2>Taken for what</h2><div class="card">{confusion_table(evaluation)}</div>'] if is_detector else []),
        *failures(evaluation),
    ]


def failures(evaluation: Evaluation, whose: str = "") -> list[str]:
    """Show where it fails: escapes and missed defects, then rejected OK parts, the worst of each.

    Args:
        whose: Put behind the headings, where a page has several.
    """
    return [
        *_pictures(f"Worst misses{whose}", "No part escapes and no defect is missed.", _worst_misses(evaluation)),
        *_pictures(f"Worst false rejects{whose}", "No OK part is rejected.", _worst_false_rejects(evaluation)),
    ]


def parts_of(figures: dict[str, Any]) -> str:
    """Say what the set has."""
    dataset = figures["dataset"]
    split = f"split {dataset['split']}, " if dataset.get("split") else ""
    unclear = f", {dataset['unclear_parts']} unclear" if dataset["unclear_parts"] else ""
    parts = f"{dataset['parts']} parts: {dataset['ng_parts']} NG, {dataset['ok_parts']} OK{unclear}"
    return f"{dataset.get('format', '')} data, {split}{parts}; {dataset['images']} images."


def rule_of(figures: dict[str, Any]) -> str:
    """Say which model judges by which rule."""
    model, recipe = figures["model"], figures["recipe"]
    rule = f"recipe {recipe['name']} version {recipe['version']}" if recipe else f"score {figures['score']:g}"
    judge = (
        f"{model['name']}, set by hand" if "rules" in model else f"model.onnx sha256 {model.get('sha256', 'unknown')}"
    )
    return f"A part is NG by {rule}; {judge}."


def tiles(figures: dict[str, Any]) -> list[str]:
    """Return the key figures."""
    result = [
        tile(title, f"{figures[name]:.4f}", f"95 %: {interval(figures[f'{name}_ci95'], is_rate=False)}")
        for name, title in (("map50", "mAP@0.5"), ("map50_95", "mAP@0.5:0.95"), ("image_auroc", "image AUROC"))
        if figures.get(name) is not None
    ]
    for count, total, rate, title, what in (
        ("escapes", "ng_parts", "escape_rate", "Escapes", "NG parts"),
        ("false_rejects", "ok_parts", "false_reject_rate", "False rejects", "OK parts"),
        ("missed_defects", "defects", "missed_defect_rate", "Missed defects", "defects"),
    ):
        counts = f"{figures[count]} of {figures[total]} {what}"
        ends = interval(figures[f"{rate}_ci95"], is_rate=True)
        result.append(tile(title, percent(figures[rate]), counts, f"95 %: {ends}" if ends else ""))
    return result


def _class_table(per_class: dict[str, Any]) -> str:
    rows = [
        [
            name,
            _bar(one["ap50"]),
            _number(one["ap50_95"]),
            f"{one['missed_defects']} of {one['defects']}",
            interval(one["missed_defect_rate_ci95"], is_rate=True),
            f"{one['escapes']} of {one['ng_parts']}",
            f"{one['false_rejects']} of {one['ok_parts']}" if one["ok_parts"] else "",
        ]
        for name, one in per_class.items()
        if one["ng_parts"] or one["false_rejects"]
    ]
    headings = ["class", "AP@0.5", "AP@0.5:0.95", "missed defects", "95 % interval", "escapes", "false rejects"]
    return f'<div class="card">{table(headings, rows)}</div>'


def _bar(value: float | None) -> str:
    if value is None:
        return "<td></td>"
    shade = f"linear-gradient(to right, color-mix(in srgb, var(--c0) 30%, transparent) {value:.1%}, transparent 0)"
    return f'<td style="background:{shade}">{value:.4f}</td>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _ranking_card(evaluation: Evaluation) -> str:
    if evaluation.precision is None:
        return _roc_card(evaluation)
    chart = Chart("recall", "precision")
    names, colours = [], []
    for index, (name, curve) in enumerate(zip(evaluation.class_names, evaluation.precision.curves, strict=True)):
        truths = int(curve.truths.sum())
        if not truths:
            continue
        is_true = curve.is_true[IOU_AT_50]
        counted = np.cumsum(~curve.is_ignored[IOU_AT_50])[is_true]
        precision = np.maximum.accumulate((np.arange(1, is_true.sum() + 1) / counted)[::-1])[::-1]
        recall = np.arange(1, len(precision) + 1) / truths
        grid = recall_grid()
        at = np.searchsorted(recall, grid)
        chart.line(grid, np.append(precision, 0.0)[at], colour(index))
        names.append(f"{name} ({evaluation.precision.ap50(index):.3f})")
        colours.append(colour(index))
    return card("Precision over recall at IoU 0.5", chart.svg("precision over recall"), legend(names, colours))


def _iou_card(class_names: Sequence[str], precision: Precision) -> str:
    """Show how tight the boxes are: a line that falls early belongs to loose boxes."""
    chart = Chart("IoU that a detection must reach", "average precision", x_limits=(0.5, 1.0))
    known = [index for index in range(len(class_names)) if precision.curves[index].truths.any()]
    for index in known:
        chart.line(IOUS, precision.table[:, index], colour(index))
    names = [f"{class_names[index]} ({precision.ap50_95(index):.3f})" for index in known]
    return card(
        "Average precision over IoU", chart.svg("average precision over IoU"), legend(names, list(map(colour, known)))
    )


def _roc_card(evaluation: Evaluation) -> str:
    what_if = WhatIf.of(evaluation.images, evaluation.found)
    chart = Chart("false-reject rate", "share of NG parts found")
    if len(what_if.ng_scores) and len(what_if.ok_scores):
        scores = np.unique(np.concatenate([what_if.ng_scores, what_if.ok_scores]))[::-1]
        found = 1 - np.searchsorted(what_if.ng_scores, scores) / len(what_if.ng_scores)
        rejected = 1 - np.searchsorted(what_if.ok_scores, scores) / len(what_if.ok_scores)
        chart.line([0.0, *rejected, 1.0], [0.0, *found, 1.0], colour(0))
        chart.line([0.0, 1.0], [0.0, 1.0], colour(7), is_dashed=True)
    return card("ROC of the parts' scores", chart.svg("share of NG parts found over false-reject rate"))


def _what_if_card(what_if: WhatIf, figures: dict[str, Any]) -> str:
    scores = np.linspace(0.0, 1.0, _STEPS)
    outcomes = [what_if.at(float(score)) for score in scores]
    chart = Chart("score", "rate", is_share=True)
    names, colours = [], []
    for index, (title, rates) in enumerate(
        (
            ("escapes", [one.escapes for one in outcomes]),
            ("false rejects", [one.false_rejects for one in outcomes]),
            ("missed defects", [one.missed_defects for one in outcomes]),
        )
    ):
        if not rates[0].total:
            continue
        ends = np.array([rate.ci95 for rate in rates])
        chart.band(scores, ends[:, 0], ends[:, 1], colour(index))
        chart.line(scores, [rate.count / rate.total for rate in rates], colour(index))
        names.append(title)
        colours.append(colour(index))
    _mark_score(chart, figures)
    return card("What if the score were another", chart.svg("error rates over the score"), legend(names, colours))


def _histogram_card(what_if: WhatIf, figures: dict[str, Any]) -> str:
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    counts = [np.histogram(scores, edges)[0] for scores in (what_if.ok_scores, what_if.ng_scores)]
    tallest = int(max(map(np.max, counts)))
    top = float(max(1, -(-tallest // 5)) * 5)  # so that the five ticks are whole numbers
    chart = Chart("highest score of the part", "parts", y_limits=(0.0, top))
    for values, shade in zip(counts, ("var(--good)", "var(--bad)"), strict=True):
        chart.bars(edges, values, shade)
    _mark_score(chart, figures)
    return card(
        "Scores of OK and NG parts", chart.svg("histogram"), legend(["OK", "NG"], ["var(--good)", "var(--bad)"])
    )


def _mark_score(chart: Chart, figures: dict[str, Any]) -> None:
    if figures["score"] is not None:
        chart.upright(figures["score"], f"{figures['score']:g}")


def _worst_misses(evaluation: Evaluation) -> list[Picture]:
    """Escaped images first, the surest of being OK before the others; then those with the most missed defects."""
    tops = top_scores(evaluation.found)
    ranked = []
    for place, gone in enumerate(missed(evaluation.images, evaluation.judged, evaluation.task)):
        image, judged = evaluation.images[place], evaluation.judged[place]
        is_escape = image.is_ng and not judged.is_ng
        if is_escape or gone.any():
            ranked.append((not is_escape, tops[place] if is_escape else -int(gone.sum()), place, gone))
    chosen = sorted(ranked, key=lambda row: row[:3])[:PICTURES]
    return [
        _picture(
            evaluation,
            place,
            evaluation.images[place].boxes[~evaluation.images[place].is_ignored][gone],
            f"{'found, but ' if is_found else 'escape, '}{int(gone.sum())} of {len(gone)} defects missed",
        )
        for is_found, _, place, gone in chosen
    ]


def _worst_false_rejects(evaluation: Evaluation) -> list[Picture]:
    tops = top_scores(evaluation.found)
    wrong = [
        place
        for place, (image, judged) in enumerate(zip(evaluation.images, evaluation.judged, strict=True))
        if image.is_ok and judged.is_ng
    ]
    chosen = sorted(wrong, key=lambda place: (-tops[place], place))[:PICTURES]
    return [
        _picture(
            evaluation, place, evaluation.judged[place].defects.boxes_in_image, f"rejected with score {tops[place]:.3f}"
        )
        for place in chosen
    ]


def _picture(evaluation: Evaluation, place: int, focus: np.ndarray[Any, Any], caption: str) -> Picture:
    judged = evaluation.judged[place]
    return Picture(
        evaluation.images[place],
        evaluation.kinds,
        evaluation.class_names,
        focus,
        judged.defects,
        judged.others,
        caption,
    )


def _pictures(title: str, otherwise: str, pictures: list[Picture]) -> list[str]:
    if not pictures:
        return [f'<h2>{escape(title)}</h2><p class="soft">{escape(otherwise)}</p>']
    shown = "".join(picture.html() for picture in pictures)
    return [f'<h2>{escape(title)}</h2>{key()}<div class="pictures">{shown}</div>']
