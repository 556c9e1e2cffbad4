"""A model's card: what it is for, what it was made of, what was measured with how many parts, and what never was.

Everything in it is read from the bundle, from evaluations and from a review; nothing is written by hand, so that it is
true of the very bundle that it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.errors import ModelError
from appliance.learning.evaluation.intervals import Rate
from appliance.modelling.bundle import Metrics, ModelBundle
from appliance.records.strata import hashed

Figures = Mapping[str, Any]

_FEW_PARTS = 300
"""From so many parts on, none wrong of them shows a rate below about 1 %."""
_RATES = (
    ("escapes", "escapes", "ng_parts", "NG parts"),
    ("false rejects", "false_rejects", "ok_parts", "OK parts"),
    ("missed defects", "missed_defects", "defects", "defects"),
)


@dataclass(frozen=True)
class Section:
    """A heading with sentences, and a table where figures stand; all plain text."""

    title: str
    lines: Sequence[str] = ()
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class ModelCard:
    """The whole card."""

    title: str
    sections: tuple[Section, ...]


def model_card(bundle: ModelBundle, evaluations: Sequence[Figures] = (), review: Figures | None = None) -> ModelCard:
    """Make the card of a bundle.

    Args:
        evaluations: What `appliance model evaluate --json` printed.
        review: What `appliance review report --json` printed; None where there is none.
    Raises:
        ModelError: An evaluation is of another model, or is none.
    """
    for one in evaluations:
        _check(bundle, one)
    field = None if review is None else review["by_model"].get(hashed(bundle.name, bundle.sha256))
    sections = (
        _what_it_is(bundle),
        _use(bundle),
        _data(bundle),
        _measured(bundle, evaluations),
        *([_classes(bundle, evaluations)] if bundle.metrics or evaluations else []),
        *([_quantisation(bundle.quantisation)] if bundle.quantisation else []),
        _field(field, 0 if review is None else review["simulated_parts"]),
        Section("Limits", limits(bundle, evaluations)),
        Section("Never measured", never_measured(bundle, evaluations, field)),
    )
    return ModelCard(f"Model card: {bundle.name}", sections)


def limits(bundle: ModelBundle, evaluations: Sequence[Figures]) -> list[str]:
    """Say what the model must not be trusted with, or used for."""
    told = []
    training = bundle.training
    if training is None:
        told.append("The bundle doesn't say what the model was trained on: treat its licence as unknown.")
    else:
        if _mentions(r"\brender|\bsynthetic|\bsimulat", training.data, training.command):
            told.append("Trained on rendered images: figures on rendered images say little of photographs.")
        if _mentions(r"research|non-?commercial", training.licence):
            told.append(f"Licence of the training data: {_sentence(training.licence)} Clear it before commercial use.")
    for name, counts in _counted(bundle, evaluations):
        for what, count, total, of in _RATES[:2]:
            rate = Rate(counts[count], counts[total])
            if 0 < rate.total < _FEW_PARTS and rate.ci95 is not None:
                counts_of = f"{what}: {rate.count} of {rate.total} {of}"
                told.append(f"{name}: {counts_of}, so few that a rate of {rate.ci95[1]:.1%} can't be excluded.")
    if "val" in bundle.metrics:
        told.append("Figures of the bundle's split val are too kind: its score was chosen there.")
    known = ", ".join(bundle.class_names)
    told.append(
        f"It knows {known} and nothing else; a defect of another kind passes unless it looks like one of these."
    )
    told.append(
        "A recipe may set other scores than the one measured here; appliance model evaluate --recipe measures it."
    )
    return told


def never_measured(bundle: ModelBundle, evaluations: Sequence[Figures], field: Figures | None) -> list[str]:
    """Say what no figure here tells."""
    told = []
    if not bundle.metrics and not evaluations:
        told.append("Precision, escapes and false rejects: there is no evaluation at all.")
    elif "test" not in bundle.metrics and not evaluations:
        told.append("Parts that neither training nor choosing the threshold has seen: the bundle has no test split.")
    if not evaluations:
        told.append("Other data than the bundle's own splits, such as another line, camera, light or material.")
    if field is None or not field["ok_judged"]:
        told.append("Escapes on a running line: no OK part of this model was reviewed.")
    if field is None or not field["ng_judged"]:
        told.append("False rejects on a running line: no NG part of this model was reviewed.")
    for name, counts in _counted(bundle, evaluations):
        told += [f"{name}: {what}, for it has no {of}." for what, _, total, of in _RATES[:2] if not counts[total]]
    if not bundle.golden_cases():
        told.append("Whether the model gives the same answers on this machine: the bundle has no golden images.")
    told.append("Ageing of light, lens and tools; people's mistakes in the labels that all figures rest on.")
    return told


def _check(bundle: ModelBundle, figures: Figures) -> None:
    try:
        of, _ = figures["model"]["contract_sha256"], figures["dataset"]["path"]
        name = figures["model"]["name"]
    except (KeyError, TypeError) as error:
        raise ModelError(
            "evaluation: expected what `appliance model evaluate --json` prints, got something else"
        ) from error
    if of != bundle.contract_sha256:
        raise ModelError(
            f"evaluation of {name}: expected one of {bundle.name} ({bundle.contract_sha256[:12]}), "
            f"got one of {str(of)[:12]}; evaluate this bundle"
        )


def _what_it_is(bundle: ModelBundle) -> Section:
    source = bundle.source
    rows = [
        ("task", bundle.task),
        ("decode family", bundle.family),
        (
            "input",
            f"{bundle.input.width}x{bundle.input.height} px, {bundle.input.pixel_format}, fitted: {bundle.input.fit}",
        ),
        ("classes", ", ".join(bundle.class_names)),
        ("score", f"{bundle.thresholds.score:g} ({bundle.thresholds.score_method})"),
        ("IoU of suppression", f"{bundle.thresholds.nms_iou:g}"),
        ("made", f"{bundle.created_at:%Y-%m-%d}, opset {bundle.opset}"),
        ("made from", f"{source.file}, sha256 {source.sha256}: {source.preprocessing}" if source else ""),
        ("model.onnx", f"sha256 {bundle.sha256}"),
        ("model.toml", f"sha256 {bundle.contract_sha256}"),
        ("signed", "yes" if bundle.signature_bytes is not None else "no"),
        ("golden images", str(len(bundle.golden_cases()))),
    ]
    return Section("What it is", (), ("", ""), [row for row in rows if row[1]])


def _use(bundle: ModelBundle) -> Section:
    what = "whether a picture looks unlike good parts" if bundle.task == "anomaly" else ", ".join(bundle.class_names)
    return Section(
        "Intended use",
        [
            f"Finding {what} in pictures like those it was trained on, to reject parts on a line.",
            "Its detections become a verdict by a recipe's rules; what it can't judge is UNKNOWN, and rejected.",
            "Not for deciding alone where a missed defect endangers people.",
            "Not for pictures of another camera, light or material without measuring there first.",
        ],
    )


def _data(bundle: ModelBundle) -> Section:
    training = bundle.training
    if training is None:
        return Section("Training data", ["Not stated in the bundle."])
    rows = [
        ("data", training.data),
        ("licence", training.licence),
        *((f"parts of {split}", ", ".join(groups)) for split, groups in training.groups.items()),
        (
            "training",
            f"{training.epochs} epochs, seed {training.seed}, {training.minutes:g} minutes, {training.machine}",
        ),
        ("command", training.command),
    ]
    return Section("Training data", (), ("", ""), rows)


def _measured(bundle: ModelBundle, evaluations: Sequence[Figures]) -> Section:
    if not bundle.metrics and not evaluations:
        return Section("Measured", ["Nothing."])
    rows = []
    for name, counts in _counted(bundle, evaluations):
        row = [name, _figure(counts.get("map50")), _figure(counts.get("map50_95"))]
        rows.append(row + [_rate_words(Rate(counts[count], counts[total])) for _, count, total, _ in _RATES])
    return Section(
        "Measured",
        ["Counts, rates and exact 95 % intervals (Clopper-Pearson), at the score above unless a recipe is named."],
        ("parts", "mAP@0.5", "mAP@0.5:0.95", *(f"{what} of {of}" for what, _, _, of in _RATES)),
        rows,
    )


def _classes(bundle: ModelBundle, evaluations: Sequence[Figures]) -> Section:
    columns = [(f"bundle, {split}", metrics.ap50) for split, metrics in bundle.metrics.items()]
    columns += [
        (_evaluation_name(one), {name: each["ap50"] for name, each in one["per_class"].items()}) for one in evaluations
    ]
    rows = [[name, *(_figure(ap50.get(name)) for _, ap50 in columns)] for name in bundle.class_names]
    return Section("Average precision of each class at IoU 0.5", (), ("class", *(name for name, _ in columns)), rows)


def _quantisation(told: Figures) -> Section:
    rows = [(key, str(told[key])) for key in ("method", "weights", "activations") if key in told]
    calibration, validation = told.get("calibration") or {}, told.get("validation") or {}
    if calibration:
        rows.append(("calibrated on", f"{calibration.get('name')}, {calibration.get('images')} images"))
    if validation:
        split = validation.get("split") or "all"
        rows.append(("chosen on", f"{validation.get('name')}, split {split}, {validation.get('images')} images"))
    for key, title in (("before", "before"), ("after", "INT8")):
        if counts := told.get(key):
            rates = "; ".join(f"{counts.get(count)} of {counts.get(total)} {of}" for _, count, total, of in _RATES)
            rows.append((title, f"mAP@0.5 {_figure(counts.get('map50'))}; escapes, false rejects, misses: {rates}"))
    return Section("Quantisation to INT8", (), ("", ""), rows)


def _field(field: Figures | None, simulated: int) -> Section:
    if field is None:
        return Section("In the field", ["No part of this model was reviewed."])
    rows = [
        (
            title,
            f"{field[found]} found, {field[judged]} of {field[called]} judged",
            "not known yet" if field[rate] is None else f"{field[rate]:.2%} ({_ends(field[f'{rate}_ci95'])})",
        )
        for title, found, judged, called, rate in (
            ("escapes", "escapes_found", "ok_judged", "ok_verdicts", "escape_rate"),
            ("false rejects", "false_rejects_found", "ng_judged", "ng_verdicts", "false_reject_rate"),
        )
    ]
    lines = [
        "What people said of drawn parts of a running line; rates are estimates of all parts, with 95 % intervals."
    ]
    if simulated:
        lines.append(f"{simulated} parts of that line are simulated: no figure of those is a figure of the field.")
    return Section("In the field", lines, ("", "parts called OK, or NG", "rate"), rows)


def _counted(bundle: ModelBundle, evaluations: Sequence[Figures]) -> list[tuple[str, dict[str, Any]]]:
    """Name everything that was measured, with its counts."""
    own: list[tuple[str, dict[str, Any]]] = [
        (f"bundle, {split}", _dumped(metrics)) for split, metrics in bundle.metrics.items()
    ]
    return own + [(_evaluation_name(one), dict(one)) for one in evaluations]


def _dumped(metrics: Metrics) -> dict[str, Any]:
    return metrics.model_dump()


def _evaluation_name(figures: Figures) -> str:
    dataset, recipe = figures["dataset"], figures.get("recipe")
    split = f", {dataset['split']}" if dataset.get("split") else ""
    by = f", recipe {recipe['name']}" if recipe else ""
    return f"{str(dataset['path']).rstrip('/').rpartition('/')[2]}{split}{by}"


def _rate_words(rate: Rate) -> str:
    if rate.value is None or rate.ci95 is None:
        return "none to judge"
    return f"{rate.count} of {rate.total}: {rate.value:.2%} ({_ends(rate.ci95)})"


def _ends(ends: Sequence[float]) -> str:
    return f"{ends[0]:.2%} to {ends[1]:.2%}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _mentions(pattern: str, *texts: str) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
