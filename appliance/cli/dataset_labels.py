"""`appliance dataset convert|check|show|prelabel`: labelled images, in and out of the tools that people label with."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from appliance.cli.model_choice import ModelsDirOption, find_bundle
from appliance.cli.model_evaluate import ClassesOption, DatasetArgument, FormatOption
from appliance.cli.options import ConfigOption, JsonOption
from appliance.cli.progress import progress_bar
from appliance.errors import ExitCode

# Data sets are read when a command runs: OpenCV and what belongs to it would slow every other command down.

MOST_FINDINGS = 200  # on a screen; --json has them all

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the new set; it must not be there yet, or be empty.")]
ImagesOption = Annotated[
    Literal["copy", "link", "none"],
    typer.Option("--images", help="Copy the images, hard-link them, or leave them where they are."),
]
LockOption = Annotated[
    Path | None,
    typer.Option(
        "--lock", help="Lock file of class ids: obeyed, and new classes are appended; default: the set's own."
    ),
]


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance dataset`."""
    app.command("convert")(convert)
    app.command("check")(check)
    app.command("show")(show)
    app.command("prelabel")(prelabel)


def convert(
    source: DatasetArgument,
    *,
    to: Annotated[
        Literal["voc", "yolo", "coco", "labelstudio", "cvat"], typer.Option("--to", help="Format of the new set.")
    ],
    out: OutOption,
    images: ImagesOption = "copy",
    file_format: FormatOption = "auto",
    classes: ClassesOption = None,
    lock: LockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a set of labelled images in another format: all splits; what the format can't say is told."""
    from appliance.learning.datasets import ClassLock, read_every_split  # noqa: PLC0415 (see above)
    from appliance.learning.datasets.convert import convert as write_anew  # noqa: PLC0415

    datasets = read_every_split(source, file_format=file_format, class_names=_names(classes))
    known = _read_lock(lock) or ClassLock.beside(source)
    with progress_bar(f"{source.name} to {to}") as progress:
        written = write_anew(datasets, to, out, images=images, lock=known, progress=progress)
    _keep_lock(lock, list(written.boxes))
    _tell(written.figures(), as_json=as_json)


def check(
    dataset: DatasetArgument,
    *,
    file_format: FormatOption = "auto",
    classes: ClassesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong in a set, file by file, and leaks between its splits; ends with 12 if there is an error."""
    from appliance.learning.datasets.check import check as look_at  # noqa: PLC0415 (see above)

    with progress_bar(f"checking {dataset.name}") as progress:
        report = look_at(dataset, file_format=file_format, class_names=_names(classes), progress=progress)
    if as_json:
        print(json.dumps(report.figures(), indent=2, ensure_ascii=False))
    else:
        for finding in report.findings[:MOST_FINDINGS]:
            print(finding)
        if len(report.findings) > MOST_FINDINGS:
            print(f"… and {len(report.findings) - MOST_FINDINGS} more; --json has them all")
        _print_captured(report.figures())
        errors = sum(finding.severity == "error" for finding in report.findings)
        print(f"{errors} errors, {len(report.findings) - errors} warnings")
    if not report.is_sound:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def show(
    dataset: DatasetArgument,
    *,
    file_format: FormatOption = "auto",
    classes: ClassesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count images, parts and boxes of each split and class."""
    from appliance.learning.datasets import read_every_split  # noqa: PLC0415 (see above)
    from appliance.learning.datasets.check import summary  # noqa: PLC0415

    figures = summary(read_every_split(dataset, file_format=file_format, class_names=_names(classes)))
    if as_json:
        print(json.dumps({"folder": str(dataset), **figures}, indent=2, ensure_ascii=False))
    else:
        _print_summary(figures)


def prelabel(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images without labels.")],
    *,
    model: Annotated[str, typer.Option("--model", help="Name of a model, or the path of a bundle.")],
    out: OutOption,
    score: Annotated[
        float | None, typer.Option("--score", min=0.0, max=1.0, help="Least score of a box; default: the model's own.")
    ] = None,
    images_mode: ImagesOption = "copy",
    lock: LockOption = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model write Pascal VOC XML, so that a person only corrects: labelImg opens the folder."""
    from appliance.learning.prelabel import prelabel as write_labels  # noqa: PLC0415 (see above)
    from appliance.modelling import load_bundle  # noqa: PLC0415
    from appliance.modelling.detector import Detector  # noqa: PLC0415

    bundle = load_bundle(find_bundle(model, models_dir, config))
    with progress_bar(bundle.name) as progress:
        written = write_labels(
            Detector(bundle),
            images,
            out,
            score=score,
            images_mode=images_mode,
            lock=_read_lock(lock),
            progress=progress,
        )
    _keep_lock(lock, list(written.boxes))
    _tell(written.figures(), as_json=as_json)
    if not as_json:
        print(f"correct it: labelImg {out} {out}/predefined_classes.txt")


def _names(classes: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in classes.split(",")) if classes else ()


def _read_lock(path: Path | None) -> Any:
    from appliance.learning.datasets import ClassLock  # noqa: PLC0415 (see above)

    return ClassLock.read(path) if path is not None and path.exists() else None


def _keep_lock(path: Path | None, names: Sequence[str]) -> None:
    from appliance.learning.datasets import ClassLock  # noqa: PLC0415 (see above)

    if path is not None:
        ClassLock(tuple(names)).write(path)


def _tell(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
        return
    table = Table(
        "class", "id", "boxes", title=f"{figures['folder']}: {figures['images']} images as {figures['format']}"
    )
    for name, count in figures["boxes"].items():
        table.add_row(name, str(figures["class_ids"][name]), str(count))
    Console().print(table)
    for note in figures["notes"]:
        print(f"note: {note}", file=sys.stderr)


def _print_captured(figures: dict[str, Any]) -> None:
    """Print the summary, and for a captured set how far its labelling is."""
    if figures["splits"] or not figures["captured"]:
        _print_summary(figures)
    if captured := figures["captured"]:
        told = (
            f"{captured['labelled']} labelled, {captured['unlabelled']} not yet; {captured['is_simulated']} simulated"
        )
        print(f"captured: {captured['images']} images, {told}")


def _print_summary(figures: dict[str, Any]) -> None:
    splits = figures["splits"]
    table = Table("", *splits, title=f"format {figures['format']}")
    rows = {"images": "images", "ok_images": "OK images", "ng_images": "NG images", "parts": "parts", "boxes": "boxes"}
    for key, words in {**rows, "ignored_boxes": "of them difficult"}.items():
        table.add_row(words, *(str(split[key]) for split in splits.values()))
    table.add_section()
    for name in next(iter(splits.values()))["boxes_by_class"] if splits else ():
        table.add_row(name, *(str(split["boxes_by_class"][name]) for split in splits.values()))
    Console().print(table)
    for note in figures["notes"]:
        print(f"note: {note}", file=sys.stderr)
