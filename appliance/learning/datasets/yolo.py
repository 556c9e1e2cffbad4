"""YOLO txt: beside each image a file of rows `class centre_x centre_y width height`, as shares of the image.

An empty file is an OK part. A missing one is too: that is how Ultralytics reads it; the set's notes say how many. But
not so in a captured set: there a picture without a file is one that nobody has labelled yet.
"""

from __future__ import annotations

import math
from pathlib import Path

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets.captured import Provenance
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import IMAGE_SUFFIXES, image_files, image_size, is_there, names_in, read_text
from appliance.learning.datasets.reader import SPLITS, Reader, Request
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
    labels, notes = _without_unlabelled(labels, Provenance.of(folder, request.report))
    without = sum(not label.is_file() for _, label in labels)
    if without == len(labels):
        raise DatasetError(
            f"data set {folder}: expected label files such as {labels[0][1] if labels else '*.txt'}, got none"
        )
    if without:
        notes.append(f"{without} images have no label file and count as OK, as Ultralytics reads it")
    labelled = []
    for path, label in labels:
        try:
            labelled.append(_labelled(path, label, names, request))
        except LabelError as error:
            request.report(error)
    return Dataset(folder, "yolo", split, names, tuple(labelled), tuple(notes))


def _without_unlabelled(
    labels: list[tuple[Path, Path]], provenance: Provenance
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Leave out captured images that nobody has labelled yet: without a file they are no OK parts."""
    kept = [(image, label) for image, label in labels if label.is_file() or provenance.find(image) is None]
    gone = len(labels) - len(kept)
    return kept, [f"{gone} captured images have no label file yet and were left out"] if gone else []


def _splits(folder: Path) -> tuple[str, ...]:
    layout = read_layout(folder) or Layout.without_yaml(folder)
    return tuple(name for name, sources in layout.splits.items() if all(is_there(source) for source in sources))


def _images_of(layout: Layout, request: Request) -> tuple[str | None, list[Path]]:
    split = request.choose(layout.splits)
    if split is None:
        return None, image_files(layout.folder)
    if split not in layout.splits:
        known = ", ".join(layout.splits) or "none"
        raise DatasetError(f"data set {layout.folder}: no split {split!r}; it has {known}")
    found: list[Path] = []
    for source in layout.splits[split]:
        if not is_there(source):
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
        image = next((base / line for base in (path.parent, folder) if is_there(base / line)), None)
        if image is None or image.suffix.lower() not in IMAGE_SUFFIXES:
            raise DatasetError(f"{path}, line {number}: expected the path of an image, got {line!r}")
        images.append(image)
    return images


def _label_of(image: Path, label_folder: Path | None) -> Path:
    """Return the label's path: the last `images` in the path becomes `labels`, else beside the image.

    Where neither is there, the folder of labels may have it: its images were left elsewhere.
    """
    beside = image.with_suffix(".txt")
    places = [beside]
    parts = image.parts
    last = next((place for place in range(len(parts) - 2, -1, -1) if parts[place] == "images"), None)
    if last is not None:
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    if label_folder is not None:
        places.append(label_folder / beside.name)
        places += [label_folder / split / beside.name for split in SPLITS]
    return next((place for place in places if place.is_file()), places[0] if last is not None else places[-1])


def _labelled(image: Path, label: Path, names: tuple[str, ...], request: Request) -> LabelledImage:
    truth = Labels.empty()
    width_px, height_px = size_px = image_size(image)
    is_there = label.is_file()
    lines = read_text(label).splitlines() if is_there else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at = f"line {number}"
        try:
            class_id, x1, y1, x2, y2 = _row(line, len(names), label, at)
        except LabelError as error:
            request.report(error)
            continue
        truth.add((x1 * width_px, y1 * height_px, x2 * width_px, y2 * height_px), names[class_id], at=at)
    return truth.image(image, names, size_px=size_px, label=label if is_there else None)


def _row(line: str, class_count: int, label: Path, at: str) -> tuple[int, float, float, float, float]:
    """Read one row: class id and corners as shares of the image."""
    texts, got, file = line.split(), repr(line.strip()[:80]), str(label)
    try:
        class_id = int(texts[0])
        x, y, width, height = (float(text) for text in texts[1:])
    except ValueError:
        raise LabelError("broken_label", file, at, f"expected `{_COLUMNS}`, got {got}") from None
    if not 0 <= class_id < class_count:
        what = f"expected a class from 0 to {class_count - 1}, got {class_id}"
        raise LabelError("unknown_class", file, at, what)
    corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    is_inside = all(-_TOLERANCE <= corner <= 1 + _TOLERANCE for corner in corners)  # NaN isn't
    has_area = width > 0 and height > 0
    if not (is_inside and has_area and all(map(math.isfinite, corners))):
        kind = "box_outside" if has_area else "empty_box"
        raise LabelError(kind, file, at, f"expected a box inside the image, as shares of 0 to 1, got {got}")
    return class_id, *corners


READER = Reader("yolo", "YOLO txt with data.yaml or classes.txt", _recognise, _read, _splits)
