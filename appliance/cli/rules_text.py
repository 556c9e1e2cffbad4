"""A contest between a model and rules as tables for people."""

from typing import Any

from rich.table import Table

from appliance.learning.rules.page import CLASS_HEADINGS, class_rows, figure_rows


def contest_table(figures: dict[str, Any]) -> Table:
    """Show the figures of both beside each other."""
    names = [figures["comparison"][letter]["model"]["name"] for letter in "ab"]
    data = figures["comparison"]["a"]["dataset"]
    split = f", split {data['split']}" if data["split"] else ""
    caption = f"{data['parts']} parts: {data['ng_parts']} NG, {data['ok_parts']} OK"
    table = Table("", *names, title=f"{names[0]} against {figures['title']} on {data['path']}{split}", caption=caption)
    for row in figure_rows(figures):
        table.add_row(*row)
    for name, title in (("escape_rate", "escapes"), ("false_reject_rate", "false rejects")):
        one = figures["comparison"]["differences"][name]
        table.add_row(
            f"{title}: only this one wrong", str(one["only_a"]), f"{one['only_b']} (p = {one['mcnemar_p']:.3g})"
        )
    return table


def class_table(figures: dict[str, Any]) -> Table:
    """Show what each class comes to."""
    table = Table(*CLASS_HEADINGS, caption="A: the model, B: the rules")
    for row in class_rows(figures):
        table.add_row(*row)
    return table
