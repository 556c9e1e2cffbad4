"""What `appliance model quantize` prints: a table for people, a document for scripts."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from appliance.learning.evaluation.validation import Reported
from appliance.modelling.quantise import Figures, Outcome

_PIXELS = {
    True: "the first convolution reads uint8 pixels",
    False: "pixels become float before the first convolution: channels are scaled differently, and it pads",
}


def quantise_document(outcome: Outcome, folder: Path, reported: Reported | None) -> dict[str, Any]:
    """Return the JSON form."""
    before_bytes, after_bytes = outcome.size_bytes
    return {
        "model": outcome.order.bundle.name,
        "within_budget": outcome.holds,
        "bundle": str(folder) if outcome.holds else None,
        "budget": asdict(outcome.order.budget),
        "method": outcome.best.method,
        "nodes_in_float": list(outcome.best.in_float),
        "weighted_nodes": len(outcome.prepared.regions.weighted),
        "reads_uint8": outcome.best.reads_uint8,
        "before": {**asdict(outcome.before), "bytes": before_bytes},
        "after": {**asdict(outcome.best.figures), "bytes": after_bytes},
        "reported": None
        if reported is None
        else {"split": reported[0], "before": asdict(reported[1]), "after": asdict(reported[2])},
        "speed": [{**asdict(speed), "factor": speed.factor} for speed in outcome.speeds],
        "tried": [
            {"method": trial.method, "in_float": len(trial.in_float), "carries": trial.carries, **asdict(trial.figures)}
            for trial in outcome.trials
        ],
        "refusal": None if outcome.holds else outcome.refusal(),
    }


def quantise_table(outcome: Outcome, reported: Reported | None) -> Table:
    """Return the table: accuracy, time and size, before and after."""
    table = Table("", "float", "INT8", "difference")
    _add_figures(table, "", outcome.before, outcome.best.figures)
    if reported is not None:
        table.add_section()
        _add_figures(table, f"{reported[0]}: ", reported[1], reported[2])
    table.add_section()
    for speed in outcome.speeds:
        table.add_row(
            f"ms, {speed.threads} thr., batch {speed.batch}",
            f"{speed.before_ms:.1f} (CPU {speed.before_cpu_ms:.1f})",
            f"{speed.after_ms:.1f} (CPU {speed.after_cpu_ms:.1f})",
            f"{speed.factor:.2f} x frames/s",
        )
    one_size, other_size = outcome.size_bytes
    table.add_row("size, kB", f"{one_size / 1000:.0f}", f"{other_size / 1000:.0f}", f"{other_size / one_size:.2f} x")
    return table


def quantise_lines(outcome: Outcome, folder: Path) -> list[str]:
    """Return what the table doesn't say."""
    best = outcome.best
    lines = [
        (
            f"method {best.method}; {len(best.in_float)} of {len(outcome.prepared.regions.weighted)} convolutions in "
            f"float{': ' + ', '.join(best.in_float) if best.in_float else ''}"
        ),
        _PIXELS[best.reads_uint8],
    ]
    if (more := best.figures.escapes - outcome.before.escapes) > 0:
        lines.append(
            f"warning: {more} more NG parts pass as OK at score {outcome.order.bundle.thresholds.score:g}: choose it "
            f"anew (`appliance model threshold`), or set --max-extra-escapes 0"
        )
    if outcome.speeds and max(speed.factor for speed in outcome.speeds) < 1.0:
        lines.append("INT8 is slower than float on this machine; measure where it will run: `appliance model bench`")
    if outcome.holds:
        lines.append(f"written: {folder}; next: appliance model verify {folder.name}")
    return lines


def _add_figures(table: Table, split: str, before: Figures, after: Figures) -> None:
    for title, one, other in (
        ("mAP@0.5", before.map50, after.map50),
        ("mAP@0.5:0.95", before.map50_95, after.map50_95),
    ):
        table.add_row(f"{split}{title}", f"{one:.4f}", f"{other:.4f}", f"{100 * (other - one):+.2f} points")
    for title, one_count, other_count, total in (
        ("escapes", before.escapes, after.escapes, f"{after.ng_parts} NG parts"),
        ("false rejects", before.false_rejects, after.false_rejects, f"{after.ok_parts} OK parts"),
        ("missed defects", before.missed_defects, after.missed_defects, str(after.defects)),
    ):
        table.add_row(f"{split}{title}", str(one_count), str(other_count), f"{other_count - one_count:+d} of {total}")
