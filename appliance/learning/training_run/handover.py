"""The images for the child: a COCO set that names them where they lie. The test split is never in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from appliance.errors import DatasetError, TrainingFailed
from appliance.learning.datasets import coco_writer, image_size
from appliance.learning.datasets.convert import Progress, convert
from appliance.learning.datasets.writer import Output, OutputImage
from appliance.learning.training_run.division import Division


def hand_over(division: Division, folder: Path, *, restarts: bool) -> None:
    """Write the splits train and val.

    Args:
        folder: One that is there from an earlier start must say the same, unless `restarts`.
    Raises:
        DatasetError: An image can't be read.
        TrainingFailed: Labels or images have changed since the training began.
    """
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    images = tuple(
        OutputImage(
            truth=image,
            split=split,
            name=image.path.name,
            file=image.path.absolute(),
            size_px=image.size_px or image_size(image.path),
            channels=1,
        )
        for split, dataset in (("train", division.train), ("val", division.val))
        for image in dataset.images
    )
    coco_writer.WRITER.write(Output(draft, folder.absolute(), division.class_names, images, keeps_images=False))
    if folder.is_dir() and not restarts and _content(folder) != _content(draft):
        shutil.rmtree(draft)
        raise TrainingFailed(
            f"{folder.parent}: holds a training of other labels or images than {division.train.folder} has now; "
            "--restart begins anew, another --work leaves that one alone"
        )
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hand_over_yolo(division: Division, folder: Path, *, restarts: bool, progress: Progress) -> None:
    """Write the same splits as libreyolo reads them: YOLO txt with the image files beside it, linked where possible.

    Raises:
        DatasetError: An image is broken, or the disk is full.
    """
    if folder.is_dir() and not restarts:
        return  # the splits are those of `hand_over`, which has looked whether they are still the same
    shutil.rmtree(folder, ignore_errors=True)
    datasets = (division.train, division.val)
    try:
        convert(datasets, "yolo", folder, images="link", progress=progress)
    except DatasetError:  # on another disk, or on one without hard links
        convert(datasets, "yolo", folder, images="copy", progress=progress)
