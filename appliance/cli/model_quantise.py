"""`appliance model quantize|calibration-set`: make a detector faster in INT8, and prove that it finds the same."""

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from appliance.cli.model_choice import ModelsDirOption, find_bundle, find_models_dir
from appliance.cli.model_evaluate import FormatOption
from appliance.cli.options import ConfigOption, JsonOption
from appliance.errors import ConfigError, DatasetError, ModelError
from appliance.modelling import load_bundle

if TYPE_CHECKING:
    from appliance.modelling.quantise import Figures, Outcome

# Quantisation and evaluation are imported when a command runs: they would slow every other command down.

_PIXELS = {
    True: "the first convolution reads uint8 pixels",
    False: "pixels become float before the first convolution: channels are scaled differently, and it pads",
}


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance model`."""
    app.command("quantize")(quantize)
    app.command("calibration-set")(calibration_set)


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a float model, or the path of a bundle.")],
    *,
    calibration: Annotated[Path, typer.Option("--calibration", help="Manifest, e.g. calibration/int8/deeppcb.toml.")],
    dataset: Annotated[Path, typer.Option("--dataset", help="Labelled validation images: they decide.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the calibration images; default: the manifest's own.")
    ] = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of the new model; default: MODEL-int8.")] = None,
    max_map_drop: Annotated[
        float, typer.Option("--max-map-drop", min=0.0, max=100.0, help="mAP points that may be lost.")
    ] = 0.5,
    max_extra_escapes: Annotated[
        int | None, typer.Option("--max-extra-escapes", min=0, help="NG parts more that may pass as OK; default: told.")
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="How ranges are chosen, tried in this order.")
    ] = "minmax,entropy,percentile",
    file_format: FormatOption = "auto",
    split: Annotated[
        str | None, typer.Option("--split", help="Part of the set; default: val where it has one, else test, else all.")
    ] = None,
    seven_bit_weights: Annotated[
        bool, typer.Option("--seven-bit-weights", help="For x86 processors without VNNI: 8-bit sums can't overflow.")
    ] = False,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantise a detector to INT8: the fastest that stays within the accuracy budget, or a refusal."""
    from appliance.learning.datasets import TO_CHOOSE, read_dataset  # noqa: PLC0415 (see above)
    from appliance.learning.evaluation import Evaluation, evaluate  # noqa: PLC0415
    from appliance.modelling.quantise import (  # noqa: PLC0415
        Budget,
        Figures,
        Order,
        quantise,
        read_calibration_set,
        write_quantised,
    )

    bundle = load_bundle(find_bundle(model, models_dir, config))
    folder = find_models_dir(models_dir, config) / (name or f"{bundle.name}-int8")
    if folder.exists():
        raise ModelError(f"model bundle {folder}: is there already; choose another --as, or remove it")
    calibrated = read_calibration_set(calibration, data)
    labelled = read_dataset(dataset, file_format=file_format, split=split, preferred=TO_CHOOSE)
    labelled = labelled.for_classes(bundle.class_names)
    evaluations: dict[str, Evaluation] = {}

    def measure(measured: Any) -> Figures:
        evaluation = evaluations[measured.sha256] = evaluate(measured, labelled, resamples=0)
        return _figures(evaluation)

    order = Order(
        bundle,
        calibrated,
        measure,
        Budget(max_map_drop, max_extra_escapes),
        _methods(methods),
        has_seven_bit_weights=seven_bit_weights,
    )
    with _progress() as report:
        outcome = quantise(order, report)
    if outcome.holds:
        evaluation = evaluations[outcome.best.bundle.sha256]
        write_quantised(
            outcome,
            folder,
            made_by=_command(),
            dataset={"name": dataset.name, "split": labelled.split or "all", "images": len(labelled.images)},
            metrics={labelled.split or "validation": _metrics(evaluation)},
        )
    if as_json:
        print(json.dumps(_document(outcome, folder), indent=2))
    else:
        _tell(outcome, folder)
    if not outcome.holds:
        raise ModelError(outcome.refusal())


def calibration_set(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Images of the line, good parts and bad ones.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Manifest to write, e.g. calibration/int8/line3.toml.")],
    source: Annotated[str, typer.Option("--source", help="Where the images come from.")],
    licence: Annotated[str, typer.Option("--licence", help="Under which they may be used.")],
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Images to choose.")] = 48,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="GLOB", help="Only names that match, may be repeated.")
    ] = None,
    version: Annotated[int, typer.Option("--version", min=1, help="Counts up when the images change.")] = 1,
    copies: Annotated[bool, typer.Option("--copy", help="Copy the images into a folder beside the manifest.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Choose images that differ much, and write the manifest that a quantised model names."""
    from appliance.learning.datasets import read_image  # noqa: PLC0415 (see above)
    from appliance.learning.datasets.files import image_files  # noqa: PLC0415
    from appliance.modelling.quantise import Manifest, write_manifest  # noqa: PLC0415
    from appliance.modelling.quantise.diverse import HOW, choose_diverse, describe  # noqa: PLC0415

    if out.suffix != ".toml" or out.exists():
        raise ConfigError(f"calibration set {out}: expected the name of a new file that ends in .toml")
    patterns = include or ["*"]
    paths = [path for path in image_files(folder) if any(path.match(pattern) for pattern in patterns)]
    if not paths:
        raise DatasetError(f"calibration set: no images in {folder} match {', '.join(patterns)}; is --include right?")
    chosen = [paths[place] for place in choose_diverse([describe(*read_image(path)) for path in paths], count)]
    manifest = Manifest(
        schema_version=1,
        name=out.stem,
        version=version,
        source=source,
        licence=licence,
        chosen=f"{len(chosen)} of {len(paths)} images, {HOW}",
        files={path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in chosen},
    )
    if copies:
        for path in chosen:
            target = out.with_suffix("") / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    write_manifest(out, manifest)
    if as_json:
        print(json.dumps({"manifest": str(out), **manifest.model_dump(mode="json")}, indent=2))
    else:
        print(f"{out}: {manifest.chosen}")


def _methods(said: str) -> tuple[str, ...]:
    from appliance.modelling.quantise import METHODS  # noqa: PLC0415 (see above)

    chosen = tuple(dict.fromkeys(word.strip() for word in said.split(",")))
    if unknown := [word for word in chosen if word not in METHODS]:
        raise typer.BadParameter(f"--methods {unknown[0]!r}: expected some of {', '.join(METHODS)}")
    return chosen


def _figures(evaluation: Any) -> "Figures":
    from appliance.modelling.quantise import Figures  # noqa: PLC0415 (see above)

    if evaluation.map50 is None or evaluation.map50_95 is None:
        raise DatasetError(
            "validation images: expected some with labelled defects; without them nothing can be measured"
        )
    return Figures(
        evaluation.map50,
        evaluation.map50_95,
        evaluation.escapes.count,
        evaluation.escapes.total,
        evaluation.false_rejects.count,
        evaluation.false_rejects.total,
        evaluation.missed_defects.count,
        evaluation.missed_defects.total,
    )


def _metrics(evaluation: Any) -> dict[str, Any]:
    figures = evaluation.figures()
    names = ("map50", "map50_95", "escapes", "ng_parts", "escape_rate", "false_rejects", "ok_parts")
    more = ("false_reject_rate", "missed_defects", "defects")
    return {
        "groups": [],
        **{name: round(figures[name] or 0, 4) for name in (*names, *more)},
        "ap50": {name: round(one["ap50"], 4) for name, one in figures["per_class"].items() if one["ap50"] is not None},
    }


def _command() -> str:
    """What was typed, paths by their last part alone: folders of the machine are nobody's business."""
    return shlex.join(["appliance", *(Path(word).name if "/" in word else word for word in sys.argv[1:])])


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=total)

    with bar:
        yield report


def _document(outcome: "Outcome", folder: Path) -> dict[str, Any]:
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
        "speed": [{**asdict(speed), "factor": speed.factor} for speed in outcome.speeds],
        "tried": [
            {"method": trial.method, "in_float": len(trial.in_float), "carries": trial.carries, **asdict(trial.figures)}
            for trial in outcome.trials
        ],
        "refusal": None if outcome.holds else outcome.refusal(),
    }


def _tell(outcome: "Outcome", folder: Path) -> None:
    console = Console()
    console.print(_table(outcome))
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
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _table(outcome: "Outcome") -> Table:
    before, after = outcome.before, outcome.best.figures
    table = Table("", "float", "INT8", "difference")
    for title, one, other in (
        ("mAP@0.5", before.map50, after.map50),
        ("mAP@0.5:0.95", before.map50_95, after.map50_95),
    ):
        table.add_row(title, f"{one:.4f}", f"{other:.4f}", f"{100 * (other - one):+.2f} points")
    for title, one_count, other_count, total in (
        ("escapes", before.escapes, after.escapes, f"of {after.ng_parts} NG parts"),
        ("false rejects", before.false_rejects, after.false_rejects, f"of {after.ok_parts} OK parts"),
        ("missed defects", before.missed_defects, after.missed_defects, f"of {after.defects}"),
    ):
        table.add_row(title, str(one_count), str(other_count), f"{other_count - one_count:+d} {total}")
    for speed in outcome.speeds:
        table.add_row(
            f"ms, threads {speed.threads}, batch {speed.batch}",
            f"{speed.before_ms:.1f} (CPU {speed.before_cpu_ms:.1f})",
            f"{speed.after_ms:.1f} (CPU {speed.after_cpu_ms:.1f})",
            f"{speed.factor:.2f} x frames/s",
        )
    one_size, other_size = outcome.size_bytes
    table.add_row(
        "size, kB", f"{one_size / 1000:.0f}", f"{other_size / 1000:.0f}", f"{other_size / one_size:.2f} times"
    )
    return table
