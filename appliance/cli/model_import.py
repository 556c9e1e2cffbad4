"""`appliance model import`: make a bundle of somebody's ONNX file."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from appliance.cli.model_choice import ModelsDirOption, find_models_dir
from appliance.cli.options import ConfigOption, JsonOption
from appliance.errors import ImportRefused
from appliance.modelling.importer.facts import Fit, ImportOptions, PixelFormat, Resize

if TYPE_CHECKING:
    from appliance.modelling.importer.model_import import Imported

# What parses and runs networks is imported when the command runs: it would slow every other command down.

_DECIDED = "Default: as the family was trained."

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The ONNX file.")]
_Name = Annotated[str, typer.Option("--name", help="Name of the model; a recipe says it.")]
_Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Class names: a,b,c or a file (a name a line, JSON list, YAML with names). Default: as the file says.",
    ),
]
_Family = Annotated[str, typer.Option("--family", help="Decode family, or auto: found out.")]
_Size = Annotated[str | None, typer.Option("--size", metavar="WxH", help="Input size where the file's is free.")]
_PixelFormat = Annotated[
    PixelFormat | None,
    typer.Option("--pixel-format", help=f"Channel order; Mono8 feeds grey cameras. {_DECIDED}"),
]
_Divisor = Annotated[float | None, typer.Option("--divisor", help=f"255 for inputs of 0..1. {_DECIDED}")]
_Mean = Annotated[str | None, typer.Option("--mean", help="Subtracted after the division: one or three numbers.")]
_Std = Annotated[str | None, typer.Option("--std", help="Divided by after that: one or three numbers.")]
_Fit = Annotated[Fit | None, typer.Option("--fit", help=f"How a frame comes to the size. {_DECIDED}")]
_Resize = Annotated[Resize | None, typer.Option("--resize", help=f"How pixels are averaged. {_DECIDED}")]
_PadValue = Annotated[int | None, typer.Option("--pad-value", min=0, max=255, help="Grey beside a letterbox.")]
_Score = Annotated[float | None, typer.Option("--score", min=0, max=1, help="Least score of a defect.")]
_NmsIou = Annotated[float | None, typer.Option("--nms-iou", min=0, max=1, help="Largest overlap of a class.")]
_Decode = Annotated[
    list[str] | None, typer.Option("--decode", metavar="KEY=JSON", help="Option of the family, e.g. anchors.")
]
_Constant = Annotated[
    list[str] | None,
    typer.Option("--constant", metavar="NAME=1,2", help="Value of an input beside the picture."),
]
_Golden = Annotated[
    list[Path] | None,
    typer.Option("--golden", help="Picture to keep with what the model finds; the gate compares."),
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("import")(import_file)


def import_file(
    file: _File,
    *,
    name: _Name,
    classes: _Classes = None,
    family: _Family = "auto",
    size: _Size = None,
    pixel_format: _PixelFormat = None,
    divisor: _Divisor = None,
    mean: _Mean = None,
    std: _Std = None,
    fit: _Fit = None,
    resize: _Resize = None,
    pad_value: _PadValue = None,
    score: _Score = None,
    nms_iou: _NmsIou = None,
    decode: _Decode = None,
    constant: _Constant = None,
    golden: _Golden = None,
    overwrite: _Overwrite = False,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import an ONNX detector: find out what it is, prove that it runs as trained, write its bundle."""
    from appliance.learning.datasets import read_image  # noqa: PLC0415 (see above)
    from appliance.modelling.importer.golden import GoldenImage  # noqa: PLC0415
    from appliance.modelling.importer.model_import import Order, import_model  # noqa: PLC0415

    options = ImportOptions(
        family=None if family == "auto" else family,
        classes=class_names(classes) if classes is not None else None,
        size=_size(size) if size is not None else None,
        pixel_format=pixel_format,
        divisor=divisor,
        mean=_numbers("--mean", mean) if mean is not None else None,
        std=_numbers("--std", std) if std is not None else None,
        fit=fit,
        resize=resize,
        pad_value=pad_value,
        score=score,
        nms_iou=nms_iou,
        decode=dict(_key_and_json(one) for one in decode or ()),
        constants=dict(_name_and_numbers(one) for one in constant or ()),
    )
    order = Order(
        file=file,
        name=name,
        models_dir=find_models_dir(models_dir, config),
        options=options,
        overwrites=overwrite,
        golden=[GoldenImage(path.name, *read_image(path)) for path in golden or ()],
        command=_command(file),
    )
    with _progress() as report:
        imported = import_model(order, report)
    if as_json:
        print(json.dumps(_document(imported), indent=2))
    else:
        _tell(imported)


def class_names(said: str) -> tuple[str, ...]:
    """Read `--classes`: names with commas between them, or a file of names.

    Raises:
        DatasetError: The file can't be read or holds no names.
        ImportRefused: A name is empty.
    """
    from appliance.learning.datasets.yolo_names import read_class_names  # noqa: PLC0415

    path = Path(said)
    if "," not in said and (path.is_file() or path.suffix.lower() in (".txt", ".names", ".json", ".yaml", ".yml")):
        return read_class_names(path)
    names = tuple(name.strip() for name in said.split(","))
    if not all(names):
        raise ImportRefused(f"--classes {said}: expected class names, none of them empty")
    return names


def _size(said: str) -> tuple[int, int]:
    width, _, height = said.lower().partition("x")
    if not (width.isdigit() and (height.isdigit() or not height)):
        raise typer.BadParameter(f"--size {said}: expected WIDTHxHEIGHT in px, e.g. 640x480")
    return int(width), int(height or width)


def _numbers(option: str, said: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in said.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} {said}: expected numbers with commas, e.g. 0.485,0.456,0.406") from None


def _key_and_json(said: str) -> tuple[str, Any]:
    key, _, value = said.partition("=")
    if not key or not value:
        raise typer.BadParameter(f"--decode {said}: expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value  # a word needs no quotes


def _name_and_numbers(said: str) -> tuple[str, tuple[float, ...]]:
    name, _, value = said.rpartition("=")
    return name, _numbers(f"--constant {name}", value)


def _command(file: Path) -> str:
    """What was typed, files by their names alone: folders of the machine are nobody's business."""
    words = sys.argv[1:] if "import" in sys.argv else ["model", "import", str(file)]
    return shlex.join(
        ["appliance", *(Path(word).name if "/" in word and Path(word).exists() else word for word in words)]
    )


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield status.update


def _document(imported: "Imported") -> dict[str, Any]:
    bundle = imported.bundle
    return {
        "name": bundle.name,
        "folder": str(imported.folder),
        "task": bundle.task,
        "family": bundle.family,
        "seen": imported.seen,
        "sha256": bundle.sha256,
        "contract_sha256": bundle.contract_sha256,
        "input": bundle.input.model_dump(),
        "classes": list(bundle.class_names),
        "thresholds": bundle.thresholds.model_dump(),
        "preprocessing": bundle.source.preprocessing if bundle.source is not None else "",
        "farthest_apart": imported.farthest_apart,
        "golden_images": len(bundle.golden_cases()),
        "notes": list(imported.notes),
    }


def _tell(imported: "Imported") -> None:
    bundle, given = imported.bundle, imported.bundle.input
    batch = "any batch" if given.batch == 0 else f"batch {given.batch}"
    names = ", ".join(bundle.class_names[:8]) + (" …" if len(bundle.class_names) > 8 else "")
    golden = len(bundle.golden_cases())
    lines = [
        f"{bundle.name}: family {bundle.family}, {imported.seen}",
        f"  input      {given.pixel_format} {given.width}x{given.height}, {batch}",
        f"  classes    {len(bundle.class_names)}: {names}",
        f"  pixels     {bundle.source.preprocessing if bundle.source is not None else ''}",
        f"  thresholds score {bundle.thresholds.score:g}, NMS IoU {bundle.thresholds.nms_iou:g}",
        f"  proof      differs from the file by {imported.farthest_apart:.1g} at most; gate passed",
        f"  golden     {f'{golden} pictures' if golden else 'none; --golden IMAGE keeps some for the gate'}",
        f"  sha256     {bundle.sha256}",
        *(f"  note       {note}" for note in imported.notes),
        f"  next       appliance model run {bundle.name} IMAGE, appliance model evaluate {bundle.name} DATASET",
    ]
    console = Console()
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
