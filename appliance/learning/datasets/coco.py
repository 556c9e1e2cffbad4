"""COCO json: one file for many images, boxes as x y width height in px. Category ids may have gaps."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets.dataset import Dataset, Labels
from appliance.learning.datasets.files import ImageIndex, is_there, read_text
from appliance.learning.datasets.reader import SPLITS, Reader, Request

_KEYS = ("images", "annotations", "categories")


def _recognise(folder: Path) -> str | None:
    files = _json_files(folder)
    return f"{files[0].name} has {', '.join(_KEYS)}" if files else None


def _json_files(folder: Path) -> list[Path]:
    candidates = [folder] if folder.is_file() else sorted(folder.rglob("*.json"))
    return [path for path in candidates if path.suffix == ".json" and _looks_like_coco(path)]


def _looks_like_coco(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return all(f'"{key}"' in text for key in _KEYS)


def _read(request: Request) -> Dataset:
    path, split = _choose(request)
    where = str(path)
    content = _parse(path)
    categories = _by_id(content["categories"], f"{where}, categories")
    names = {number: str(category.get("name", "")) for number, category in categories.items()}
    repeated = [name for name, count in Counter(names.values()).items() if count > 1 or not name]
    if repeated:
        raise DatasetError(f"{where}, categories: expected names that differ, got {repeated[0]!r} more than once")
    images = _by_id(content["images"], f"{where}, images")
    truths = {number: Labels.empty() for number in images}
    for place, row in enumerate(content["annotations"]):
        try:
            _add(truths, names, row, path, f"annotations[{place}] (id {row.get('id')})")
        except LabelError as error:
            request.report(error)
    index = _image_index(path, request.folder)
    class_names = tuple(names[number] for number in sorted(names, key=_by_number))
    labelled = []
    for number, row in images.items():
        try:
            file = _image_file(row, path, index)
        except LabelError as error:
            request.report(error)
            continue
        part = str(row["part_id"]) if "part_id" in row else None
        labelled.append(truths[number].image(file, class_names, part=part, size_px=_size(row), label=path))
    in_order = tuple(sorted(labelled, key=lambda one: one.path))
    return Dataset(request.folder, "coco", split, class_names, in_order, tuple(_notes(content["annotations"])))


def _add(truths: dict[Any, Labels], names: dict[Any, str], row: dict[str, Any], path: Path, at: str) -> None:
    if _id(row, "image_id") not in truths:
        what = f"expected the id of an image as image_id, got {row.get('image_id')!r}"
        raise LabelError("label_without_image", str(path), at, what)
    if _id(row, "category_id") not in names:
        what = f"expected a category_id out of {sorted(names, key=_by_number)}, got {row.get('category_id')!r}"
        raise LabelError("unknown_class", str(path), at, what)
    name, is_crowd = names[row["category_id"]], bool(row.get("iscrowd", 0))
    truths[row["image_id"]].add(_corners(row, path, at), name, is_ignored=is_crowd, at=at)


def _id(row: dict[str, Any], key: str) -> int | str | None:
    number = row.get(key)
    return number if isinstance(number, int | str) else None  # what else JSON knows may not be looked up


def _by_number(number: int | str) -> tuple[bool, int, str]:
    return (False, number, "") if isinstance(number, int) else (True, 0, number)


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    extras = {"segmentation": "outlines", "keypoints": "key points", "attributes": "attributes", "score": "scores"}
    counts = {key: sum(bool(row.get(key)) for row in rows) for key in extras}
    return [f"{count} annotations have {extras[key]}, which aren't read" for key, count in counts.items() if count]


def _splits(folder: Path) -> tuple[str, ...]:
    files = _json_files(folder)
    return tuple(name for name in SPLITS if sum(_is_of(path, name, folder) for path in files) == 1)


def _choose(request: Request) -> tuple[Path, str | None]:
    """Choose the json file: the only one, or the one whose name or folder says the split."""
    files = _json_files(request.folder)
    if not files:
        raise DatasetError(f"data set {request.folder}: expected a json file with {', '.join(_KEYS)}, got none")
    for split in [request.split] if request.split else request.preferred:
        named = [path for path in files if _is_of(path, split, request.folder)]
        if len(named) == 1:
            return named[0], split
    if len(files) == 1 and request.split is None:
        return files[0], None
    listed = ", ".join(path.name for path in files)
    wanted = f"one for split {request.split!r}" if request.split else "one, or one for split 'test' or 'val'"
    raise DatasetError(f"data set {request.folder}: expected {wanted}, got {listed}; give the file itself")


def _is_of(path: Path, split: str, folder: Path) -> bool:
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    folders = path.relative_to(folder).parts[:-1] if folder.is_dir() else ()
    return split in folders or any(word.rstrip("0123456789") == split for word in words)


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        at, what = f"line {error.lineno}", f"expected JSON, got: {error.msg}"
        raise LabelError("broken_label", str(path), at, what) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        raise LabelError("broken_label", str(path), "", f"expected JSON, got: {error}") from error
    for key in _KEYS:
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            what = f"expected a list of objects as {key!r}, got {type(rows).__name__}"
            raise LabelError("broken_label", str(path), "", what)
    return dict(content)


def _by_id(rows: list[dict[str, Any]], where: str) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for place, row in enumerate(rows):
        number = row.get("id")
        if not isinstance(number, int | str) or number in found:
            raise DatasetError(f"{where}[{place}]: expected an id that is there only once, got {number!r}")
        found[number] = row
    return found


def _corners(row: dict[str, Any], path: Path, at: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(number) for number in row["bbox"])
    except (KeyError, TypeError, ValueError, OverflowError):
        what = f"expected bbox as [x, y, width, height], got {row.get('bbox')!r}"
        raise LabelError("broken_label", str(path), at, what) from None
    if not (width > 0 and height > 0 and all(map(math.isfinite, (x, y, width, height)))):
        what = f"expected a bbox with width and height above 0, got {row['bbox']}"
        raise LabelError("empty_box", str(path), at, what)
    return x, y, x + width, y + height


def _size(row: dict[str, Any]) -> tuple[int, int] | None:
    width, height = row.get("width"), row.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width > 0 < height else None


def _image_index(path: Path, folder: Path) -> ImageIndex:
    """Index the images beside the json file, or beside its folder (`annotations/` next to `images/`)."""
    index = ImageIndex(folder if folder.is_dir() else path.parent)
    return index if len(index) else ImageIndex(path.parent.parent)


def _image_file(row: dict[str, Any], path: Path, index: ImageIndex) -> Path:
    name, at = row.get("file_name"), f"image id {row.get('id')}"
    if not isinstance(name, str) or not name:
        raise LabelError("label_without_image", str(path), at, f"expected a file_name, got {name!r}")
    for base in (path.parent, index.folder, path.parent / "images", path.parent.parent / "images"):
        if is_there(base / name) and (base / name).is_file():
            return base / name
    return index.find(name, path, at)


READER = Reader("coco", "COCO json", _recognise, _read, _splits)
