"""Evaluations as tables for people."""

from typing import Any

from rich.table import Table

_KINDS = {"ng_parts": "NG parts", "ok_parts": "OK parts", "defects": "defects"}


def figures_table(figures: dict[str, Any]) -> Table:
    """Show an evaluation's figures with their intervals."""
    dataset, model = figures["dataset"], figures["model"]
    split = f", split {dataset['split']}" if dataset["split"] else ""
    table = Table(
        "",
        "value",
        "95 % interval",
        "counts",
        title=f"{model['name']} on {dataset['path']} ({dataset['format']}{split})",
        caption=f"{_parts(dataset)}; {_point(figures)}",
    )
    for name, title in (("map50", "mAP@0.5"), ("map50_95", "mAP@0.5:0.95"), ("image_auroc", "image AUROC")):
        if figures.get(name) is not None:
            table.add_row(title, f"{figures[name]:.4f}", _interval(figures[f"{name}_ci95"], 4), "")
    for count, total, rate, title in (
        ("escapes", "ng_parts", "escape_rate", "escapes"),
        ("false_rejects", "ok_parts", "false_reject_rate", "false rejects"),
        ("missed_defects", "defects", "missed_defect_rate", "missed defects"),
    ):
        table.add_row(title, *_rate_cells(figures, count, total, rate))
    return table


def _met(per_class: dict[str, Any]) -> dict[str, Any]:
    """Leave out the classes that the set doesn't have and the model didn't call on an OK part."""
    return {name: one for name, one in per_class.items() if one["ng_parts"] or one["false_rejects"]}


def per_class_table(per_class: dict[str, Any]) -> Table:
    """Show the figures of each class."""
    table = Table("class", "AP@0.5", "AP@0.5:0.95", "missed defects", "escapes", "false rejects")
    for name, one in _met(per_class).items():
        table.add_row(
            name,
            _number(one["ap50"]),
            _number(one["ap50_95"]),
            f"{one['missed_defects']} of {one['defects']}",
            f"{one['escapes']} of {one['ng_parts']}",
            f"{one['false_rejects']} of {one['ok_parts']}" if one["ok_parts"] else "",
        )
    return table


def comparison_table(figures: dict[str, Any]) -> Table:
    """Show two models beside each other."""
    names = [figures[letter]["model"]["name"] for letter in "ab"]
    table = Table("", f"A: {names[0]}", f"B: {names[1]}", "B - A", "95 % interval", "only A wrong", "only B wrong", "p")
    for name, one in figures["differences"].items():
        table.add_row(
            name,
            _number(one["a"]),
            _number(one["b"]),
            "" if one["difference"] is None else f"{one['difference']:+.4f}",
            _interval(one["difference_ci95"], 4),
            str(one.get("only_a", "")),
            str(one.get("only_b", "")),
            f"{one['mcnemar_p']:.3f}" if "mcnemar_p" in one else "",
        )
    return table


def threshold_table(advice: dict[str, Any]) -> Table:
    """Show what each score leads to, narrow enough for a terminal; the model's own and the advised one are marked."""
    about = f"class {advice['class']}" if advice["class"] else "one score for all classes"
    totals = advice["outcomes"][0]
    table = Table(
        "score",
        f"escapes of {totals['ng_parts']}",
        f"false rejects of {totals['ok_parts']}",
        f"missed of {totals['defects']}" if totals["defects"] else "",
        "",
        title=f"{advice['model']['name']}, {about}",
        caption="in brackets: 95 % interval of the rate, in percent",
    )
    advised = advice["recommended"]["score"] if advice["recommended"] else None
    named = {"model's": advice["score"], "advised": advised}
    for one in advice["outcomes"]:
        marks = [word for word, score in named.items() if score == one["score"]]
        table.add_row(
            f"{one['score']:.2f}",
            _counted(one, "escapes", "escape_rate"),
            _counted(one, "false_rejects", "false_reject_rate"),
            _counted(one, "missed_defects", "missed_defect_rate"),
            ", ".join(marks),
            style="bold" if marks else None,
        )
    return table


def _counted(figures: dict[str, Any], count: str, rate: str) -> str:
    interval = figures[f"{rate}_ci95"]
    return "" if interval is None else f"{figures[count]} ({interval[0] * 100:.1f}..{interval[1] * 100:.1f})"


def _rate_cells(figures: dict[str, Any], count: str, total: str, rate: str) -> tuple[str, str, str]:
    counts = f"{figures[count]} of {figures[total]} {_KINDS[total]}"
    if figures[rate] is None:
        return "none to judge", "", counts
    return f"{figures[rate]:.2%}", _interval(figures[f"{rate}_ci95"]), counts


def _interval(interval: list[float] | None, digits: int | None = None) -> str:
    if interval is None:
        return ""
    if digits is None:
        return f"{interval[0]:.2%} to {interval[1]:.2%}"
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _parts(dataset: dict[str, Any]) -> str:
    unclear = f", {dataset['unclear_parts']} unclear" if dataset["unclear_parts"] else ""
    return f"{dataset['parts']} parts: {dataset['ng_parts']} NG, {dataset['ok_parts']} OK{unclear}"


def _point(figures: dict[str, Any]) -> str:
    recipe = figures["recipe"]
    if recipe is not None:
        return f"by recipe {recipe['name']} version {recipe['version']}"
    return f"NG from score {figures['score']:g}"
