"""The `[metrics]` table of a bundle: an evaluation's figures, rounded, with the counts behind the rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.learning.evaluation.evaluation import Evaluation

_RATES = ("escapes", "ng_parts", "escape_rate", "false_rejects", "ok_parts", "false_reject_rate")


def metrics_table(evaluation: Evaluation, groups: Sequence[str] = ()) -> dict[str, Any]:
    """Return one split's table; a rate of no parts is left out.

    Args:
        groups: Of the parts, where the set has groups.
    """
    figures = evaluation.figures()
    names = ("map50", "map50_95", *_RATES, "missed_defects", "defects")
    precision = {"map50": evaluation.map50 or 0.0, "map50_95": evaluation.map50_95 or 0.0}
    values = {**figures, **precision}
    return {
        "groups": list(groups),
        **{name: round(values[name], 4) for name in names if values[name] is not None},
        "ap50": {name: round(one["ap50"], 4) for name, one in figures["per_class"].items() if one["ap50"] is not None},
    }
