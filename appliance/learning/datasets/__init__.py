"""Labelled images in the formats that people have: one type for all, found by looking at the files."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import DatasetError
from appliance.learning.datasets import coco, deeppcb, masks, voc, yolo
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import image_size, read_image
from appliance.learning.datasets.reader import TO_CHOOSE, TO_MEASURE, Reader, Request

__all__ = [
    "READERS",
    "TO_CHOOSE",
    "TO_MEASURE",
    "Dataset",
    "LabelledImage",
    "Labels",
    "image_size",
    "read_dataset",
    "read_image",
]

READERS: dict[str, Reader] = {
    reader.name: reader for reader in (voc.READER, yolo.READER, coco.READER, deeppcb.READER, masks.READER)
}


def read_dataset(
    folder: Path,
    *,
    file_format: str = "auto",
    split: str | None = None,
    preferred: tuple[str, ...] = TO_MEASURE,
    class_names: tuple[str, ...] = (),
    task: str = "detect",
) -> Dataset:
    """Read labelled images.

    Args:
        folder: The set's folder, COCO's json file, or YOLO's data.yaml.
        file_format: A key of `READERS`; "auto" looks at the files.
        split, preferred, class_names: As in `Request`.
        task: "detect" or "anomaly": decides where boxes and masks are both there.
    Raises:
        DatasetError: No such folder, no or several formats recognised, or a file is broken.
    """
    if not folder.exists():
        raise DatasetError(f"data set {folder}: no such folder")
    reader = _recognised(folder, task) if file_format == "auto" else READERS.get(file_format)
    if reader is None:
        raise DatasetError(f"data set {folder}: unknown format {file_format!r}; known: {', '.join(READERS)}")
    return reader.read(Request(folder, split, preferred, class_names))


def _recognised(folder: Path, task: str) -> Reader:
    if folder.is_file():
        return READERS["yolo" if folder.suffix in (".yaml", ".yml") else "coco"]
    seen = {name: told for name, reader in READERS.items() if (told := reader.recognise(folder))}
    if len(seen) > 1:  # both kinds of truth: the task knows which one it needs
        seen = {name: told for name, told in seen.items() if (name == "masks") == (task == "anomaly")}
    if len(seen) == 1:
        return READERS[next(iter(seen))]
    if not seen:
        known = "; ".join(f"{reader.name}: {reader.title}" for reader in READERS.values())
        raise DatasetError(f"data set {folder}: expected one of these formats ({known}), got none of them")
    told = "; ".join(f"{name}: {why}" for name, why in seen.items())
    raise DatasetError(f"data set {folder}: several formats fit ({told}); --format NAME decides")
