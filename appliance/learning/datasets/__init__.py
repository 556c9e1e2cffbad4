"""Labelled images in the formats that people have: one type for all, found by looking at the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets import coco, cvat, deeppcb, labelstudio, masks, voc, yolo
from appliance.learning.datasets.captured import Provenance
from appliance.learning.datasets.class_lock import ClassLock
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import image_size, read_image
from appliance.learning.datasets.reader import TO_CHOOSE, TO_MEASURE, Reader, Request, refuse
from appliance.learning.datasets.voc_writer import CLASS_LIST

__all__ = [
    "READERS",
    "TO_CHOOSE",
    "TO_MEASURE",
    "ClassLock",
    "Dataset",
    "LabelledImage",
    "Labels",
    "Provenance",
    "formats_of",
    "image_size",
    "read_dataset",
    "read_every_split",
    "read_image",
    "splits_of",
]

READERS: dict[str, Reader] = {
    module.READER.name: module.READER for module in (voc, yolo, coco, labelstudio, cvat, deeppcb, masks)
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
        folder: The set's folder, the json file of COCO or Label Studio, CVAT's XML file, or YOLO's data.yaml.
        file_format: A key of `READERS`; "auto" looks at the files.
        split, preferred, class_names: As in `Request`.
        task: "detect" or "anomaly": decides where boxes and masks are both there.
    Returns:
        The set; its classes are numbered by the lock file beside it, where there is one.
    Raises:
        DatasetError: No such folder, no or several formats recognised, or a file is broken.
    """
    reader = _reader(folder, file_format, task)
    read = reader.read(Request(folder, split, preferred, class_names))
    return _numbered(Provenance.of(folder).inform(read))


def read_every_split(
    folder: Path,
    *,
    file_format: str = "auto",
    class_names: tuple[str, ...] = (),
    report: Callable[[LabelError], None] = refuse,
) -> list[Dataset]:
    """Read all splits of a set, or the whole where it has none; arguments as `read_dataset` and `Request.report`.

    Returns:
        One set for each split, all with the same numbers of classes.
    Raises:
        DatasetError: As `read_dataset`.
    """
    reader = _reader(folder, file_format, "detect")
    splits: tuple[str | None, ...] = reader.splits(folder) or (None,)
    provenance = Provenance.of(folder, report)
    read = [
        _numbered(provenance.inform(reader.read(Request(folder, split, (), class_names, report)))) for split in splits
    ]
    names = tuple(dict.fromkeys(name for dataset in read for name in dataset.class_names))
    return [dataset.for_classes(names) for dataset in read]


def splits_of(folder: Path, *, file_format: str = "auto") -> tuple[str, ...]:
    """Name the splits that a set has.

    Raises:
        DatasetError: No such folder, no or several formats recognised.
    """
    return _reader(folder, file_format, "detect").splits(folder)


def _numbered(dataset: Dataset) -> Dataset:
    lock = ClassLock.beside(dataset.folder)
    return dataset if lock is None else dataset.for_classes(lock.with_names(dataset.class_names).names)


def _reader(folder: Path, file_format: str, task: str) -> Reader:
    if not folder.exists():
        raise DatasetError(f"data set {folder}: no such folder")
    reader = _recognised(folder, task) if file_format == "auto" else READERS.get(file_format)
    if reader is None:
        raise DatasetError(f"data set {folder}: unknown format {file_format!r}; known: {', '.join(READERS)}")
    return reader


def formats_of(folder: Path) -> dict[str, str]:
    """Name the formats that a folder's files look like, and why."""
    return {name: told for name, reader in READERS.items() if (told := reader.recognise(folder))}


def _recognised(folder: Path, task: str) -> Reader:
    if folder.is_file():
        return READERS[_format_of_file(folder)]
    seen = formats_of(folder)
    if len(seen) > 1:  # both kinds of truth: the task knows which one it needs
        seen = {name: told for name, told in seen.items() if (name == "masks") == (task == "anomaly")}
    if len(seen) == 1:
        return READERS[next(iter(seen))]
    if not seen and (captured := len(Provenance.of(folder))):
        raise DatasetError(
            f"data set {folder}: {captured} captured images, none of them labelled yet; label them: "
            f"labelImg {folder} {folder / CLASS_LIST}"
        )
    if not seen:
        known = "; ".join(f"{reader.name}: {reader.title}" for reader in READERS.values())
        raise DatasetError(f"data set {folder}: expected one of these formats ({known}), got none of them")
    told = "; ".join(f"{name}: {why}" for name, why in seen.items())
    raise DatasetError(f"data set {folder}: several formats fit ({told}); --format NAME decides")


def _format_of_file(path: Path) -> str:
    if path.suffix == ".json":
        return "labelstudio" if labelstudio.is_export(path) else "coco"
    return {".yaml": "yolo", ".yml": "yolo", ".xml": "cvat"}.get(path.suffix, "coco")
