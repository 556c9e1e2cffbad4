"""YOLO txt: beside each image a file of rows `class centre_x centre_y width height`, as shares of the image.

An empty file is an OK part. A missing one is too: that is how Ultralytics reads it; the set's notes say how many.
"""

from __future__ import annotations

import math
from pathlib import Path

from appliance.errors import DatasetError
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import IMAGE_SUFFIXES, image_files, image_size, names_in, read_text
from appliance.learning.datasets.reader import Reader, Request
from appliance.learning.datasets.yolo_names import NAME_LISTS, Layout, read_layout

_COLUMNS = "class centre_x centre_y width height"
_TOLERANCE = 1e-3  # six decimals, and some tools round the corners outwards


def _recognise(folder: Path) -> str | None:
    if read_layout(folder) is not None:
        return "a YAML file names classes and images"
    for path in sorted(folder.rglob("*.txt")):
        row = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].split()
        if path.name not in NAME_LISTS and len(row) == len(_COLUMNS.split()) and _are_shares(row[1:]):
            return f"{path.relative_to(folder)} has rows `{_COLUMNS}`"
    return None


def _are_shares(texts: list[str]) -> bool:
    try:
        return all(0 <= float(text) <= 1 for text in texts)
    except ValueError:
        return False


def _read(request: Request) -> Dataset:
    folder = request.folder
    layout = read_layout(folder) or Layout.without_yaml(folder)
    names = request.class_names or layout.class_names
    if not names:
        raise DatasetError(
            f"data set {folder}: expected class names in data.yaml or {NAME_LISTS[0]}, got neither; "
            "--classes NAME,NAME,… gives them"
        )
    split, images = _images_of(layout, request)
    labels = [(path, _label_of(path, layout.label_folder)) for path in images]
    without = sum(not label.is_file() for _, label in labels)
    if without == len(images):
        raise DatasetError(
            f"data set {folder}: expected label files such as {labels[0][1] if labels else '*.txt'}, got none"
        )
    notes = (f"{without} images have no label file and count as OK, as Ultralytics reads it",) if without else ()
    labelled = tuple(_labelled(path, label, names) for path, label in labels)
    return Dataset(folder, "yolo", split, names, labelled, notes)


def _images_of(layout: Layout, request: Request) -> tuple[str | None, list[Path]]:
    split = request.choose(layout.splits)
    if split is None:
        return None, image_files(layout.folder)
    if split not in layout.splits:
        known = ", ".join(layout.splits) or "none"
        raise DatasetError(f"data set {layout.folder}: no split {split!r}; it has {known}")
    found: list[Path] = []
    for source in layout.splits[split]:
        if not source.exists():
            raise DatasetError(
                f"data set {layout.folder}: split {split!r}: expected images in {source}, got nothing there"
            )
        found += _listed_images(source, layout.folder) if source.suffix == ".txt" else image_files(source)
    if not found:
        raise DatasetError(f"data set {layout.folder}: split {split!r} has no images in {layout.splits[split][0]}")
    return split, sorted(found)


def _listed_images(path: Path, folder: Path) -> list[Path]:
    images = []
    for number, line in enumerate(names_in(read_text(path).splitlines()), start=1):
        image = next((base / line for base in (path.parent, folder) if (base / line).is_file()), None)
        if image is None or image.suffix.lower() not in IMAGE_SUFFIXES:
            raise DatasetError(f"{path}, line {number}: expected the path of an image, got {line!r}")
        images.append(image)
    return images


def _label_of(image: Path, label_folder: Path | None) -> Path:
    """Return the label's path: the last `images` in the path becomes `labels`, else beside the image."""
    parts = list(image.parts)
    beside = image.with_suffix(".txt")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            swapped = Path(*parts[:place], "labels", *parts[place + 1 :]).with_suffix(".txt")
            return beside if beside.is_file() and not swapped.is_file() else swapped
    if label_folder is not None and not beside.is_file():
        return label_folder / beside.name
    return beside


def _labelled(image: Path, label: Path, names: tuple[str, ...]) -> LabelledImage:
    truth = Labels.empty()
    width_px, height_px = size_px = image_size(image)
    lines = read_text(label).splitlines() if label.is_file() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        class_id, x1, y1, x2, y2 = _row(line, len(names), f"label {label}, line {number}")
        truth.add((x1 * width_px, y1 * height_px, x2 * width_px, y2 * height_px), names[class_id])
    return truth.image(image, names, size_px=size_px)


def _row(line: str, class_count: int, where: str) -> tuple[int, float, float, float, float]:
    """Read one row: class id and corners as shares of the image."""
    texts = line.split()
    try:
        class_id = int(texts[0])
        x, y, width, height = (float(text) for text in texts[1:])
    except ValueError:
        raise DatasetError(f"{where}: expected `{_COLUMNS}`, got {line.strip()[:80]!r}") from None
    if not 0 <= class_id < class_count:
        raise DatasetError(f"{where}: expected a class from 0 to {class_count - 1}, got {class_id}")
    corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    is_inside = all(-_TOLERANCE <= corner <= 1 + _TOLERANCE for corner in corners)  # NaN isn't
    if not (is_inside and width > 0 and height > 0 and all(map(math.isfinite, corners))):
        raise DatasetError(f"{where}: expected a box inside the image, as shares of 0 to 1, got {line.strip()[:80]!r}")
    return class_id, *corners


READER = Reader("yolo", "YOLO txt with data.yaml or classes.txt", _recognise, _read)
