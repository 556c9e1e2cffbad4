"""`appliance model quantize|calibration-set`: make a detector faster in INT8, and prove that it finds the same."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from appliance.cli.model_choice import ModelsDirOption, find_bundle, find_models_dir
from appliance.cli.model_evaluate import ClassesOption, FormatOption, MapOption, read_labelled
from appliance.cli.options import ConfigOption, JsonOption, typed_command
from appliance.errors import ConfigError, DatasetError, ModelError
from appliance.modelling import load_bundle

# Quantisation and evaluation are imported when a command runs: they would slow every other command down.


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
    report_split: Annotated[
        str | None, typer.Option("--report-split", help="Part of the set to report on besides; it decides nothing.")
    ] = None,
    classes: ClassesOption = None,
    renamed: MapOption = None,
    seven_bit_weights: Annotated[
        bool, typer.Option("--seven-bit-weights", help="For x86 processors without VNNI: 8-bit sums can't overflow.")
    ] = False,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantise a detector to INT8: the fastest that stays within the accuracy budget, or a refusal."""
    from appliance.cli.quantise_text import quantise_document, quantise_lines, quantise_table  # noqa: PLC0415
    from appliance.learning.datasets import TO_CHOOSE  # noqa: PLC0415
    from appliance.learning.evaluation.validation import Validation  # noqa: PLC0415
    from appliance.modelling.quantise import Budget, Order, quantise, read_calibration_set, write_quantised  # noqa: PLC0415

    bundle = load_bundle(find_bundle(model, models_dir, config))
    folder = find_models_dir(models_dir, config) / (name or f"{bundle.name}-int8")
    if folder.exists():
        raise ModelError(f"model bundle {folder}: is there already; choose another --as, or remove it")
    read = partial(
        read_labelled,
        dataset,
        (bundle,),
        file_format=file_format,
        classes=classes,
        renamed=renamed,
        preferred=TO_CHOOSE,
    )
    validation = Validation(lambda name: read(split=name), split, report_split)
    order = Order(
        bundle,
        read_calibration_set(calibration, data),
        validation.measure,
        Budget(max_map_drop, max_extra_escapes),
        _methods(methods),
        has_seven_bit_weights=seven_bit_weights,
    )
    with _progress() as report:
        outcome = quantise(order, report)
    best = outcome.best.bundle
    reported = validation.report(bundle, best) if outcome.holds else None
    if outcome.holds:
        metrics = validation.metrics(best)
        write_quantised(outcome, folder, made_by=typed_command(), dataset=validation.described, metrics=metrics)
    if as_json:
        print(json.dumps(quantise_document(outcome, folder, reported), indent=2))
    else:
        console = Console()
        console.print(quantise_table(outcome, reported))
        for line in quantise_lines(outcome, folder):
            console.print(line, highlight=False, markup=False)
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
    from appliance.modelling.quantise import choose_calibration, write_manifest  # noqa: PLC0415

    if out.suffix != ".toml" or out.exists():
        raise ConfigError(f"calibration set {out}: expected the name of a new file that ends in .toml")
    patterns = include or ["*"]
    paths = [path for path in image_files(folder) if any(path.match(pattern) for pattern in patterns)]
    if not paths:
        raise DatasetError(f"calibration set: no images in {folder} match {', '.join(patterns)}; is --include right?")
    manifest = choose_calibration(
        paths, folder, read_image, name=out.stem, version=version, source=source, licence=licence, count=count
    )
    if copies:
        for name in manifest.files:
            target = out.with_suffix("") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)
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
