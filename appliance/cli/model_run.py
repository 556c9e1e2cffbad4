"""`appliance model run`: what a model finds in single images."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from appliance.cli.model_choice import ModelArgument, ModelsDirOption, find_bundle
from appliance.cli.options import ConfigOption, JsonOption
from appliance.errors import DatasetError
from appliance.modelling import Detections, load_bundle
from appliance.modelling.pixels import Pixels, to_pixel_format

# What runs a network is imported when the command runs: ONNX Runtime would slow every other command down.

MAX_DETECTIONS = 300
_PROGRESS_FROM = 8
_COLOURS = ((56, 56, 255), (49, 210, 207), (10, 249, 72), (255, 194, 0), (255, 55, 199), (29, 178, 255))


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance model`."""
    app.command("run")(run)


def run(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files, 8 or 16 bits.")],
    *,
    score: Annotated[
        float | None, typer.Option("--score", min=0, max=1, help="Least score; default: the model's own.")
    ] = None,
    nms_iou: Annotated[
        float | None, typer.Option("--nms-iou", min=0, max=1, help="Largest overlap; default: the model's own.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the images with their boxes to this folder.")
    ] = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model finds in images, by the very steps of the running line."""
    from appliance.learning.datasets import read_image  # noqa: PLC0415 (see above)
    from appliance.modelling.detector import Detector  # noqa: PLC0415

    detector = Detector(load_bundle(find_bundle(model, models_dir, config)))
    names = detector.bundle.class_names
    documents = []
    for path in _with_progress(images):
        pixels, pixel_format = read_image(path)
        (found,) = detector.detect(
            [pixels], pixel_format=pixel_format, score=score, nms_iou=nms_iou, max_detections=MAX_DETECTIONS
        )
        documents.append(_document(path, pixels, found, names))
        if save is not None:
            _save(save / f"{path.stem}.png", pixels, pixel_format, found, names)
    if as_json:
        print(json.dumps(documents, indent=2))
    else:
        _print_table(documents, detector.bundle.thresholds.score if score is None else score)


def _document(path: Path, pixels: Pixels, found: Detections, names: Sequence[str]) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    detections = [
        {
            "class_name": names[class_id],
            "class_id": int(class_id),
            "score": round(float(score), 6),
            "box_px": [round(float(value), 3) for value in box],
        }
        for box, score, class_id in zip(found.boxes_in_image, found.scores, found.class_ids, strict=True)
    ]
    document = {"image": str(path), "width": width, "height": height, "detections": detections}
    return document if found.image_score is None else {**document, "image_score": round(found.image_score, 6)}


def _print_table(documents: Sequence[dict[str, Any]], score: float) -> None:
    console = Console()
    table = Table("image", "class", "score", "x1", "y1", "x2", "y2")
    for document in documents:
        for one in document["detections"]:
            box = (f"{value:.1f}" for value in one["box_px"])
            table.add_row(Path(document["image"]).name, one["class_name"], f"{one['score']:.3f}", *box)
    if table.row_count:
        console.print(table)
    for document in documents:
        count = len(document["detections"])
        whole = f", image score {document['image_score']:.3f}" if "image_score" in document else ""
        words = f"{document['image']}: {count or 'nothing'} at score {score:g} or more{whole}"
        console.print(words, highlight=False, markup=False, soft_wrap=True)


def _save(path: Path, pixels: Pixels, pixel_format: str, found: Detections, names: Sequence[str]) -> None:
    canvas: NDArray[np.uint8] = to_pixel_format(pixels, pixel_format, "BGR8").copy()
    thickness = max(1, round(max(canvas.shape[:2]) / 600))
    for box, score, class_id in zip(found.boxes_in_image, found.scores, found.class_ids, strict=True):
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        colour = _COLOURS[int(class_id) % len(_COLOURS)]
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, thickness)
        words = f"{names[class_id]} {score:.2f}"
        at = (x1, y1 - 3 if y1 > 14 * thickness else min(y2 + 12 * thickness, len(canvas) - 2))
        cv2.putText(canvas, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thickness, colour, thickness, cv2.LINE_AA)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", canvas)[1].tobytes())
    except OSError as error:
        raise DatasetError(f"{path}: can't be written: {error.strerror}; give another folder to --save") from error


def _with_progress(images: Sequence[Path]) -> Iterable[Path]:
    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=len(images) < _PROGRESS_FROM or not console.is_terminal
    ) as progress:
        yield from progress.track(images, description="running")
