"""`appliance train`: labelled images in, a verified, evaluated and quantised model out."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from appliance.cli.model_choice import ModelsDirOption, find_models_dir
from appliance.cli.model_evaluate import ClassesOption, DatasetArgument, FormatOption
from appliance.cli.options import ConfigOption, JsonOption, typed_command

# Training's modules are imported when the command runs: they would slow every other command down.

_NETWORKS = (
    "nano (default), small, yolov3-tiny, yolov3-tiny-relu; "
    "by libreyolo: yolox-nano, yolox-tiny, yolox-s, yolov9-t, yolov9-s."
)

_Name = Annotated[str, typer.Option("--name", help="Name of the model; its INT8 twin is called NAME-int8.")]
_Network = Annotated[str | None, typer.Option("--network", help=_NETWORKS)]
_Size = Annotated[
    str | None,
    typer.Option("--size", metavar="WxH", help="Input of the network in px; default: the images', 640 at most."),
]
_Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Default: the settings', else 60.")]
_Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Decides all that is random.")]
_Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads of PyTorch; default: 2.")]
_Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda; default: auto.")]
_ValShare = Annotated[
    float, typer.Option("--val-share", min=0.01, max=0.9, help="Parts that choose, where the set has no split val.")
]
_TestShare = Annotated[
    float, typer.Option("--test-share", min=0.0, max=0.9, help="Parts that only measure, where it has no splits.")
]
_Settings = Annotated[
    Path | None, typer.Option("--settings", help="TOML file of training settings, e.g. examples/training/deeppcb.toml.")
]
_Work = Annotated[Path | None, typer.Option("--work", help="Checkpoint, curve, page; default: build/training/NAME.")]
_Data = Annotated[str | None, typer.Option("--data-source", help="Where the images come from, for the bundle.")]
_Licence = Annotated[str | None, typer.Option("--licence", help="Under which they may be used, for the bundle.")]
_NoQuantise = Annotated[bool, typer.Option("--no-quantize", help="Leave out the INT8 model.")]
_Calibration = Annotated[
    Path | None, typer.Option("--calibration", help="Manifest of calibration images; default: chosen from split train.")
]
_CalibrationData = Annotated[Path | None, typer.Option("--calibration-data", help="Folder of the manifest's images.")]
_MaxMapDrop = Annotated[float, typer.Option("--max-map-drop", min=0.0, max=100.0, help="mAP points INT8 may lose.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")]
_Restart = Annotated[bool, typer.Option("--restart", help="Drop what an interrupted training has learned.")]
_Python = Annotated[
    Path | None, typer.Option("--python", help="Interpreter to train with; default: the training environment's.")
]


def train(
    dataset: DatasetArgument,
    *,
    name: _Name,
    network: _Network = None,
    size: _Size = None,
    epochs: _Epochs = None,
    seed: _Seed = None,
    threads: _Threads = None,
    device: _Device = None,
    file_format: FormatOption = "auto",
    classes: ClassesOption = None,
    val_share: _ValShare = 0.2,
    test_share: _TestShare = 0.0,
    settings: _Settings = None,
    work: _Work = None,
    data_source: _Data = None,
    licence: _Licence = None,
    no_quantise: _NoQuantise = False,
    calibration: _Calibration = None,
    calibration_data: _CalibrationData = None,
    max_map_drop: _MaxMapDrop = 0.5,
    overwrite: _Overwrite = False,
    restart: _Restart = False,
    python: _Python = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a detector on labelled images; interrupted at any moment, the same command goes on."""
    from appliance.cli.train_progress import TrainProgress  # noqa: PLC0415 (see above)
    from appliance.cli.train_text import summary_document, summary_lines  # noqa: PLC0415
    from appliance.learning.training_run.order import TrainOrder, read_settings  # noqa: PLC0415
    from appliance.learning.training_run.run import train as run_training  # noqa: PLC0415
    from appliance.modelling.quantise import Budget  # noqa: PLC0415

    if device not in (None, "auto", "cpu", "cuda"):
        raise typer.BadParameter(f"--device {device}: expected auto, cpu or cuda")
    if val_share + test_share >= 1:
        raise typer.BadParameter("--val-share and --test-share: expected less than 1 together, or nothing is left")
    told = read_settings(settings)
    order = TrainOrder(
        dataset=dataset,
        name=_checked_name(name),
        models_dir=find_models_dir(models_dir, config),
        work=work or Path("build/training") / name,
        network=network or str(told.get("network", "nano")),
        file_format=file_format,
        class_names=tuple(one.strip() for one in classes.split(",")) if classes else (),
        size_px=_size(size) if size is not None else None,
        epochs=epochs,
        seed=seed,
        threads=threads,
        device=device,
        val_share=val_share,
        test_share=test_share,
        settings=told,
        python=python,
        data=data_source or str(told.get("data_source", f"{dataset.resolve().name}, labelled images")),
        licence=licence or str(told.get("licence", "not stated")),
        command=typed_command(),
        quantises=not no_quantise,
        calibration=calibration,
        calibration_data=calibration_data,
        budget=Budget(max_map_drop),
        overwrites=overwrite,
        restarts=restart,
    )
    with TrainProgress() as progress:
        try:
            trained = run_training(order, progress)
        except KeyboardInterrupt:
            print(f"interrupted: the same command goes on from the last epoch in {order.work}", file=sys.stderr)
            raise
    if as_json:
        print(json.dumps(summary_document(trained), indent=2))
        return
    console = Console()
    for line in summary_lines(trained):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _checked_name(name: str) -> str:
    from appliance.modelling.importer.model_import import is_model_name  # noqa: PLC0415 (see above)

    if not is_model_name(f"{name}-int8"):
        raise typer.BadParameter(
            f"--name {name}: expected letters, digits, '_', '.' and '-', a letter or digit first, 59 at most"
        )
    return name


def _size(said: str) -> tuple[int, int]:
    width, _, height = said.lower().partition("x")
    sides = [int(side) if side.isdigit() else 0 for side in (width, height or width)]
    if not all(64 <= side <= 4096 and side % 32 == 0 for side in sides):
        raise typer.BadParameter(f"--size {said}: expected WIDTHxHEIGHT in px, multiples of 32, e.g. 640x480")
    return sides[0], sides[1]
