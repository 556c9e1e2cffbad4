"""`training.html`: how the training went, and what its model is worth; one file that can be passed on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from appliance.learning.evaluation import Evaluation
from appliance.learning.evaluation.evaluation import METHOD
from appliance.learning.evaluation.report.chart import Chart
from appliance.learning.evaluation.report.evaluation import evaluation_sections
from appliance.learning.evaluation.report.page import card, colour, legend, page, table, tile
from appliance.modelling import ModelBundle

_PURPOSE = {
    "val": "Split val: it chose the score, so expect a little less elsewhere",
    "test": "Split test: it had no say in anything",
}


def training_page(bundle: ModelBundle, evaluations: Mapping[str, Evaluation], warnings: Sequence[str]) -> str:
    """Return the whole page.

    Args:
        bundle: With a `[training]` table.
        evaluations: By split.
        warnings: What was said of the images before the training.
    """
    training = bundle.training
    assert training is not None
    told = training.model_dump(mode="json")
    body = [
        f"<h1>{escape(bundle.name)}: training</h1>",
        f'<p class="soft">{escape(training.data)}; {escape(training.licence)}</p>',
        *(f'<p class="verdict">{escape(warning)}</p>' for warning in warnings),
        f'<div class="tiles">{"".join(_tiles(told))}</div>',
        f'<div class="pair">{_loss_card(told["curve"])}{_precision_card(told["curve"])}</div>',
        f"<h2>What was trained</h2>{_facts(bundle, told)}",
    ]
    for split, evaluation in evaluations.items():
        body += [f"<h2>{escape(_PURPOSE.get(split, split))}</h2>", *evaluation_sections(evaluation)]
    body.append(f'<h2>Method</h2><p class="soft">{escape(METHOD)}.</p>')
    return page(f"{bundle.name}: training", body)


def _tiles(training: Mapping[str, Any]) -> list[str]:
    measured = [row["val_map50"] for row in training["curve"] if row["val_map50"] is not None]
    best = f"best of the curve {max(measured):.4f}" if measured else "not measured on the way"
    parts = ", ".join(f"{split} {count}" for split, count in training["parts"].items())
    return [
        tile("Epochs", str(training["epochs"]), best),
        tile("Minutes", f"{training['minutes']:.1f}", training["machine"]),
        tile("Parameters", f"{training['parameters']:,}", training["network"]),
        tile("Parts", str(sum(training["parts"].values())), parts),
    ]


def _loss_card(curve: Sequence[Mapping[str, Any]]) -> str:
    losses = [row["loss"] for row in curve]
    if not losses:
        return ""
    top = _rounded_up(sorted(losses)[int(0.98 * (len(losses) - 1))])  # the first steps of a training dwarf the rest
    chart = Chart("epoch", "loss", x_limits=(0.0, float(curve[-1]["epoch"])), y_limits=(0.0, top))
    chart.line([row["epoch"] for row in curve], losses, colour(1))
    return card("Loss on the training images", chart.svg("loss over epochs"))


def _precision_card(curve: Sequence[Mapping[str, Any]]) -> str:
    measured = [row for row in curve if row["val_map50"] is not None]
    if not measured:
        return ""
    chart = Chart("epoch", "mAP@0.5", x_limits=(0.0, float(curve[-1]["epoch"])))
    chart.line([row["epoch"] for row in measured], [row["val_map50"] for row in measured], colour(0))
    return card("mAP@0.5 on the validation images", chart.svg("mAP over epochs"), legend(["val"], [colour(0)]))


def _rounded_up(value: float) -> float:
    """Return the next number of one digit, so that the axis is readable."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / unit) * unit


def _facts(bundle: ModelBundle, training: Mapping[str, Any]) -> str:
    given = bundle.input
    rows = [
        ["network", f"{training['network']}, decode family {bundle.family}"],
        ["input", f"{given.pixel_format} {given.width}x{given.height}, {given.fit}"],
        ["classes", ", ".join(bundle.class_names)],
        ["score", f"{bundle.thresholds.score:g}: {bundle.thresholds.score_method}"],
        ["seed", str(training["seed"])],
        ["command", training["command"]],
        ["model.onnx sha256", bundle.sha256],
    ]
    return f'<div class="card">{table(["", ""], rows)}</div>'
