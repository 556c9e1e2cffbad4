"""`appliance model fit`: make an anomaly model of good pictures alone."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import Progress

from appliance.cli.model_choice import ModelsDirOption, find_bundle, find_models_dir
from appliance.cli.options import ConfigOption, JsonOption
from appliance.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.modelling.anomaly.fit import Fitted

# What opens networks is imported when the command runs: it would slow every other command down.

_LONGEST_SIDE_PX = 512


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("fit")(fit_model)


def fit_model(
    good: Annotated[Path, typer.Argument(metavar="GOOD", help="Folder of pictures of good parts; no other ones.")],
    *,
    name: Annotated[str, typer.Option("--name", help="Name of the new model; a recipe says it.")],
    features: Annotated[
        str, typer.Option("--features", metavar="MODEL", help="Detector that lends its first layers.")
    ] = "deeppcb-nano",
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Model input; default: the pictures' own, 512 px at most."),
    ] = None,
    fit: Annotated[Literal["letterbox", "stretch"], typer.Option("--fit", help="How pictures come to it.")] = (
        "letterbox"
    ),
    pad_value: Annotated[int, typer.Option("--pad-value", min=0, max=255, help="Grey beside a letterbox.")] = 0,
    points: Annotated[int, typer.Option("--points", min=16, max=20_000, help="Size of the memory.")] = 500,
    position_weight: Annotated[
        float, typer.Option("--position-weight", min=0, help="How much the place matters; 0: parts lie anywhere.")
    ] = 10.0,
    false_rejects: Annotated[
        float, typer.Option("--false-rejects", min=1e-6, max=0.5, help="Share of good parts that may be called NG.")
    ] = 0.01,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remember what good parts look like; whatever is far from it is an anomaly. Needs no picture of a defect."""
    from appliance.modelling.anomaly.fit import AnomalyPlan, fit_anomaly  # noqa: PLC0415 (see above)
    from appliance.modelling.bundle_files import load_bundle  # noqa: PLC0415

    pictures = _pictures(good)
    width_px, height_px = _size(size) if size is not None else _usual_size(pictures)
    plan = AnomalyPlan(
        name=name,
        detector=load_bundle(find_bundle(features, models_dir, config)),
        width_px=width_px,
        height_px=height_px,
        fit=fit,
        pad_value=pad_value,
        points=points,
        position_weight=position_weight,
        false_reject_rate=false_rejects,
        command=f"appliance model fit {good} --name {name} --features {features}",
    )
    with Progress(transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("fit", total=1.0)
        fitted = fit_anomaly(
            plan,
            pictures,
            find_models_dir(models_dir, config) / name,
            lambda doing, share: progress.update(task, description=doing, completed=share),
        )
    print(json.dumps(_figures(fitted), indent=2) if as_json else _words(fitted))


def _pictures(folder: Path) -> "list[NDArray[np.uint8]]":
    from appliance.learning.datasets.files import image_files, read_image  # noqa: PLC0415 (as above)
    from appliance.modelling.pixels import to_mono8  # noqa: PLC0415

    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; give one with pictures of good parts")
    return [to_mono8(*read_image(path)) for path in image_files(folder)]


def _usual_size(pictures: "list[NDArray[np.uint8]]") -> tuple[int, int]:
    """Take the most common size, made smaller where it is large, in multiples of 16 px."""
    if not pictures:
        raise ModelError("no pictures there; give a folder with pictures of good parts")
    (height, width), _ = Counter(one.shape[:2] for one in pictures).most_common(1)[0]
    scale = min(1.0, _LONGEST_SIDE_PX / max(width, height))
    return max(64, round(width * scale / 16) * 16), max(64, round(height * scale / 16) * 16)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"--size: expected WIDTHxHEIGHT in px, e.g. 384x256, got {text!r}")
    return int(width), int(height)


def _figures(fitted: "Fitted") -> dict[str, object]:
    bundle = fitted.bundle
    return {
        "name": bundle.name,
        "sha256": bundle.sha256,
        "input": {"width": bundle.input.width, "height": bundle.input.height},
        "good_pictures": len(fitted.held_out_scores),
        "held_out_scores": [round(score, 4) for score in fitted.held_out_scores],
        "threshold": round(fitted.threshold, 4),
        "above_threshold": sum(score >= fitted.threshold for score in fitted.held_out_scores),
        "onnx_bytes": len(bundle.onnx_bytes),
    }


def _words(fitted: "Fitted") -> str:
    figures = _figures(fitted)
    bundle = fitted.bundle
    return (
        f"model {bundle.name}: anomaly_map {bundle.input.width}x{bundle.input.height} "
        f"{bundle.input.pixel_format}, {len(bundle.onnx_bytes) / 1e6:.1f} MB, sha256 {bundle.sha256[:12]}…\n"
        f"memory of {figures['good_pictures']} good pictures; left out in turn, {figures['above_threshold']} of them "
        f"reach the threshold of {fitted.threshold:.3f} (score 0.5)\n"
        f"next: appliance model evaluate {bundle.name} DATASET, then name it in a recipe"
    )
