"""What `appliance train` says at the end: lines for people, a document for scripts."""

from collections.abc import Mapping
from typing import Any

from appliance.cli.quantise_text import quantise_document, quantise_lines
from appliance.learning.training_run.run import Trained


def summary_document(trained: Trained) -> dict[str, Any]:
    """Return the JSON form."""
    bundle, outcome = trained.made.bundle, trained.outcome
    quantised = trained.quantised
    training = bundle.training
    assert training is not None
    return {
        "name": bundle.name,
        "bundle": str(trained.made.folder),
        "sha256": bundle.sha256,
        "contract_sha256": bundle.contract_sha256,
        "network": training.network,
        "family": bundle.family,
        "parameters": training.parameters,
        "input": bundle.input.model_dump(),
        "classes": list(bundle.class_names),
        "score": bundle.thresholds.score,
        "score_method": bundle.thresholds.score_method,
        "parts": dict(training.parts),
        "epochs": outcome.epochs,
        "epochs_planned": trained.plan.epochs,
        "best_epoch": outcome.best_epoch,
        "minutes": outcome.minutes,
        "machine": outcome.machine,
        "curve": [row.model_dump() for row in training.curve],
        "metrics": {split: evaluation.figures() for split, evaluation in trained.made.evaluations.items()},
        "warnings": list(trained.warnings),
        "page": str(trained.page),
        "int8": None
        if quantised is None
        else quantise_document(quantised.outcome, quantised.folder or trained.made.folder, quantised.reported),
        "int8_refusal": trained.unquantised or None,
    }


def summary_lines(trained: Trained) -> list[str]:
    """Return the text: each figure with its count, intervals where they tell something."""
    bundle, outcome = trained.made.bundle, trained.outcome
    early = f" of {trained.plan.epochs}: ended early" if outcome.epochs < trained.plan.epochs else ""
    lines = [
        f"{bundle.name}: {trained.made.folder}, gate passed",
        (
            f"  training   {outcome.epochs} epochs{early}, weights of epoch {outcome.best_epoch or outcome.epochs}, "
            f"{outcome.minutes:.1f} min, {outcome.parameters:,} parameters"
        ),
        f"  score      {bundle.thresholds.score:g}, chosen {bundle.thresholds.score_method}",
    ]
    for split, evaluation in trained.made.evaluations.items():
        lines += _split_lines(split, evaluation.figures())
    lines += _int8_lines(trained)
    lines += [
        f"  page       {trained.page}",
        f"  next       appliance model show {bundle.name}, appliance model activate {bundle.name}",
    ]
    return lines


def _split_lines(split: str, figures: Mapping[str, Any]) -> list[str]:
    precision = [
        f"{title} {figures[key]:.4f}"
        for key, title in (("map50", "mAP@0.5"), ("map50_95", "mAP@0.5:0.95"))
        if figures[key] is not None
    ]
    counts = []
    for count, total, rate, title in (
        ("escapes", "ng_parts", "escape_rate", "escapes {} of {} NG parts"),
        ("false_rejects", "ok_parts", "false_reject_rate", "false rejects {} of {} OK parts"),
        ("missed_defects", "defects", "missed_defect_rate", "missed {} of {} defects"),
    ):
        ends = figures[f"{rate}_ci95"]
        interval = f" (95 %: {ends[0]:.1%} to {ends[1]:.1%})" if ends else ""
        counts.append(title.format(figures[count], figures[total]) + interval)
    return [f"  {split:<10} {', '.join(precision)}", *(f"{'':13}{one}" for one in counts)]


def _int8_lines(trained: Trained) -> list[str]:
    quantised = trained.quantised
    if trained.unquantised:
        return [f"  INT8       none: {trained.unquantised}", f"{'':13}the float model stands"]
    if quantised is None or quantised.folder is None:
        return []
    before, after = quantised.outcome.before, quantised.outcome.best.figures
    speed = max((one.factor for one in quantised.outcome.speeds), default=0.0)
    return [
        (
            f"  INT8       {quantised.folder}: mAP@0.5 {before.map50:.4f} to {after.map50:.4f}, "
            f"mAP@0.5:0.95 {before.map50_95:.4f} to {after.map50_95:.4f} on val, up to {speed:.2f} times the frames/s"
        ),
        *(f"{'':13}{line}" for line in quantise_lines(quantised.outcome, quantised.folder)[:-1]),
    ]
