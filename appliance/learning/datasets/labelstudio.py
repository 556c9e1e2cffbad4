"""Label Studio's JSON export: a list of tasks, rectangles in percent of the image.

An image is found by the last part of its address; an upload's prefix (`3f1a2b4c-`) is dropped where the plain name
is what the folder has. A task without annotation was never labelled and is left out; one with an empty result is OK.
`difficult` is a region's note, as people write it in Label Studio's own field. Source: Label Studio's documentation,
"Label Studio JSON format of annotated tasks".
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets.dataset import Dataset, Labels
from appliance.learning.datasets.files import IMAGE_SUFFIXES, ImageIndex, is_image_there, is_there, read_text
from appliance.learning.datasets.reader import SPLITS, Export, Reader, Request

DIFFICULT = "difficult"
_LARGEST_PX = 1_000_000
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_Task = dict[str, Any]


def _recognise(folder: Path) -> str | None:
    files = _json_files(folder)
    return f"{files[0].name} is a list of tasks with annotations" if files else None


def _json_files(folder: Path) -> list[Path]:
    candidates = [folder] if folder.is_file() else sorted(folder.rglob("*.json"))
    return [path for path in candidates if path.suffix == ".json" and is_export(path)]


def is_export(path: Path) -> bool:
    """Whether a json file looks like a list of tasks."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return text.lstrip().startswith("[") and '"annotations"' in text and '"data"' in text


def _splits(folder: Path) -> tuple[str, ...]:
    stems = {path.stem for path in _json_files(folder)}
    return tuple(name for name in SPLITS if name in stems)


def _read(request: Request) -> Dataset:
    folder = request.folder
    files = _json_files(folder)
    split = request.choose([path.stem for path in files])
    path = next((path for path in files if path.stem == split), None) if split else None
    if path is None and (split is not None or len(files) != 1):
        listed = ", ".join(path.name for path in files) or "none"
        wanted = f"{split}.json" if split else "one json file of tasks"
        raise DatasetError(f"data set {folder}: expected {wanted}, got {listed}; give the file itself")
    path = path or files[0]
    export = Export(path, ImageIndex(folder if folder.is_dir() else path.parent), request)
    rows = []
    for place, task in enumerate(_tasks(path)):
        try:
            row = _read_task(task, f"[{place}] (id {task.get('id')})", export)
        except LabelError as error:
            request.report(error)
            continue
        if row is None:
            export.extras["tasks without annotation, left out"] += 1
        else:
            rows.append(row)
    names = sorted({name for _, truth, _, _ in rows for name in truth.class_names})
    images = [truth.image(file, names, part=part, size_px=size_px, label=path) for file, truth, part, size_px in rows]
    in_order = tuple(sorted(images, key=lambda image: image.path))
    notes = tuple(f"{count} {what}" for what, count in export.extras.items())
    return Dataset(folder, "labelstudio", split, tuple(names), in_order, notes)


def _tasks(path: Path) -> list[_Task]:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise LabelError(
            "broken_label", str(path), f"line {error.lineno}", f"expected JSON, got: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise LabelError("broken_label", str(path), "", f"expected JSON, got: {error}") from error
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise LabelError("broken_label", str(path), "", f"expected a list of tasks, got {type(content).__name__}")
    return content


def _read_task(task: _Task, at: str, export: Export) -> tuple[Path, Labels, str | None, tuple[int, int] | None] | None:
    """Return image, truth, part and size; None for a task that nobody has labelled."""
    made = [one for one in _list(task.get("annotations")) if isinstance(one, dict) and not one.get("was_cancelled")]
    if not made:
        return None
    if len(made) > 1:
        export.extras["tasks have several annotations: the last one counts"] += 1
    data = task["data"] if isinstance(task.get("data"), dict) else {}
    image = _image(data, at, export)
    truth, size_px = Labels.empty(), None
    for place, region in enumerate(_list(made[-1].get("result"))):
        try:
            if _add(truth, region, f"{at}, result[{place}]", export):
                size_px = _size(region)
        except LabelError as error:
            export.request.report(error)
    part = data.get("part_id")
    return image, truth, None if part is None else str(part), size_px


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _image(data: dict[str, Any], at: str, export: Export) -> Path:
    addresses = [data[key] for key in ("image", *sorted(data)) if isinstance(data.get(key), str)]
    names = [name for address in addresses if Path(name := _file_of(address)).suffix.lower() in IMAGE_SUFFIXES]
    if not names:
        got = str(data)[:200]
        raise export.wrong("label_without_image", at, f"expected an image's address in `data`, got {got}")
    name = names[0].lstrip("/")
    for base in (export.path.parent, export.index.folder, export.path.parent / "images"):
        if is_there(base / name) and (base / name).is_file():
            return base / name
    if is_image_there(f"/{name}"):
        return Path(f"/{name}")
    plain = Path(name).name
    is_known = plain in export.index or not _UPLOAD.match(plain)
    return export.index.find(plain if is_known else _UPLOAD.sub("", plain), export.path, at)


def _file_of(address: str) -> str:
    """Return the file that an address means: `/data/local-files/?d=a/b.png`, `/data/upload/1/b.png`, `s3://…/b.png`."""
    parts = urlsplit(address)
    asked = parse_qs(parts.query).get("d")
    return asked[0] if asked else unquote(parts.path)


def _add(truth: Labels, region: Any, at: str, export: Export) -> bool:
    """Add a rectangle; whether it was one."""
    if not isinstance(region, dict) or region.get("type") != "rectanglelabels":
        kind = region.get("type") if isinstance(region, dict) else type(region).__name__
        export.extras[f"regions of type {kind}, which aren't read"] += 1
        return False
    value, size_px = region.get("value") or {}, _size(region)
    try:
        x, y, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
        names = [str(name) for name in value["rectanglelabels"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        what = f"expected x, y, width, height and rectanglelabels, got {str(value)[:200]}"
        raise export.wrong("broken_label", at, what) from None
    if size_px is None:
        raise export.wrong("broken_label", at, "expected original_width and original_height in px, got none")
    if len(names) != 1:
        raise export.wrong("unknown_class", at, f"expected one label, got {', '.join(names) or 'none'}")
    if not (width > 0 and height > 0 and all(map(math.isfinite, (x, y, width, height)))):
        raise export.wrong("empty_box", at, f"expected width and height above 0, got {width:g} {height:g}")
    if value.get("rotation") or region.get("image_rotation"):
        export.extras["rectangles are turned, which isn't read: the upright one counts"] += 1
    x_px, y_px = size_px[0] / 100, size_px[1] / 100
    corners = x * x_px, y * y_px, (x + width) * x_px, (y + height) * y_px
    truth.add(corners, names[0], is_ignored=_is_difficult(region.get("meta")), at=at)
    return True


def _is_difficult(meta: Any) -> bool:
    note = meta.get("text") if isinstance(meta, dict) else None
    return DIFFICULT in (note if isinstance(note, list) else [note])


def _size(region: _Task) -> tuple[int, int] | None:
    width, height = region.get("original_width"), region.get("original_height")
    if not (isinstance(width, int) and isinstance(height, int)):
        return None
    return (width, height) if 0 < width < _LARGEST_PX > height > 0 else None


READER = Reader("labelstudio", "Label Studio JSON", _recognise, _read, _splits)
