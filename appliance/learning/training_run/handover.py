"""The images for the child, where the set has no splits of its own: a COCO set that names them where they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

from appliance.learning.datasets import coco_writer, image_size
from appliance.learning.datasets.writer import Output, OutputImage
from appliance.learning.training_run.division import Division


def hand_over(division: Division, folder: Path) -> None:
    """Write the splits train and val; what a folder of this name held is replaced. The test split is never in it.

    Raises:
        DatasetError: An image can't be read.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
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
    coco_writer.WRITER.write(Output(folder, folder.absolute(), division.class_names, images, keeps_images=False))
