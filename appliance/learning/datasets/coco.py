"""COCO json: one file for many images, boxes as x y width height in px. Category ids may have gaps."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError
from appliance.learning.datasets.dataset import Dataset, Labels
from appliance.learning.datasets.files import ImageIndex, read_text
from appliance.learning.datasets.reader import Reader, Request

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
    where = f"labels {path}"
    content = _parse(path)
    categories = _by_id(content["categories"], f"{where}, categories")
    names = {number: str(category.get("name", "")) for number, category in categories.items()}
    repeated = [name for name, count in Counter(names.values()).items() if count > 1 or not name]
    if repeated:
        raise DatasetError(f"{where}, categories: expected names that differ, got {repeated[0]!r} more than once")
    images = _by_id(content["images"], f"{where}, images")
    truths = {number: Labels.empty() for number in images}
    for place, row in enumerate(content["annotations"]):
        at = f"{where}, annotations[{place}] (id {row.get('id')})"
        if row.get("image_id") not in truths:
            raise DatasetError(f"{at}: expected the id of an image as image_id, got {row.get('image_id')!r}")
        if row.get("category_id") not in names:
            raise DatasetError(f"{at}: expected a category_id out of {sorted(names)}, got {row.get('category_id')!r}")
        truths[row["image_id"]].add(
            _corners(row, at), names[row["category_id"]], is_ignored=bool(row.get("iscrowd", 0))
        )
    index = _image_index(path, request.folder)
    class_names = tuple(names[number] for number in sorted(names))
    labelled = [
        truths[number].image(
            _image_file(row, path, index, where),
            class_names,
            part=str(row["part_id"]) if "part_id" in row else None,
            size_px=_size(row),
        )
        for number, row in images.items()
    ]
    return Dataset(request.folder, "coco", split, class_names, tuple(sorted(labelled, key=lambda one: one.path)))


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
        raise DatasetError(f"labels {path}, line {error.lineno}: expected JSON, got: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        raise DatasetError(f"labels {path}: expected JSON, got: {error}") from error
    for key in _KEYS:
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DatasetError(f"labels {path}: expected a list of objects as {key!r}, got {type(rows).__name__}")
    return dict(content)


def _by_id(rows: list[dict[str, Any]], where: str) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for place, row in enumerate(rows):
        number = row.get("id")
        if not isinstance(number, int | str) or number in found:
            raise DatasetError(f"{where}[{place}]: expected an id that is there only once, got {number!r}")
        found[number] = row
    return found


def _corners(row: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(number) for number in row["bbox"])
    except (KeyError, TypeError, ValueError):
        raise DatasetError(f"{where}: expected bbox as [x, y, width, height], got {row.get('bbox')!r}") from None
    if not (width > 0 and height > 0 and all(map(math.isfinite, (x, y, width, height)))):
        raise DatasetError(f"{where}: expected a bbox with width and height above 0, got {row['bbox']}")
    return x, y, x + width, y + height


def _size(row: dict[str, Any]) -> tuple[int, int] | None:
    width, height = row.get("width"), row.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width > 0 < height else None


def _image_index(path: Path, folder: Path) -> ImageIndex:
    """Index the images beside the json file, or beside its folder (`annotations/` next to `images/`)."""
    index = ImageIndex(folder if folder.is_dir() else path.parent)
    return index if len(index) else ImageIndex(path.parent.parent)


def _image_file(row: dict[str, Any], path: Path, index: ImageIndex, where: str) -> Path:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise DatasetError(f"{where}, image id {row.get('id')}: expected a file_name, got {name!r}")
    for base in (path.parent, index.folder, path.parent / "images", path.parent.parent / "images"):
        if (base / name).is_file():
            return base / name
    return index.find(name, path, f"{where}, image id {row.get('id')}")


READER = Reader("coco", "COCO json", _recognise, _read)
