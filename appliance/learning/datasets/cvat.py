"""CVAT's XML 1.1 for images: one file, corners in px as decimals. An image without boxes is an OK part.

`subset` of an image is its split. `difficult` is a box's attribute of that name, as CVAT's own VOC import has it.
Source: CVAT's documentation, "CVAT for images".
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import ImageIndex, is_image_there, is_there, read_text
from appliance.learning.datasets.reader import Export, Reader, Request

DIFFICULT = "difficult"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_ROOT = re.compile(r"<annotations[\s>]")


def _recognise(folder: Path) -> str | None:
    files = _files(folder)
    return f"{files[0].name} has <annotations>" if files else None


def _files(folder: Path) -> list[Path]:
    candidates = [folder] if folder.is_file() else [*sorted(folder.glob("*.xml")), *sorted(folder.glob("*/*.xml"))]
    return [path for path in candidates if path.suffix == ".xml" and is_export(path)]


def is_export(path: Path) -> bool:
    """Whether an XML file begins as CVAT's do."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return _ROOT.search(file.read(2000)) is not None


def _splits(folder: Path) -> tuple[str, ...]:
    names = [_split_of(element) for path in _files(folder)[:1] for element in _parse(path).findall("image")]
    return tuple(dict.fromkeys(name for name in names if name))


def _split_of(element: ElementTree.Element) -> str:
    name = element.get("subset", "")
    return "" if name == "default" else name.lower()  # "default" is CVAT's word for none; it writes "Train"


def _read(request: Request) -> Dataset:
    folder, files = request.folder, _files(request.folder)
    if len(files) != 1:
        listed = ", ".join(path.name for path in files) or "none"
        raise DatasetError(f"data set {folder}: expected one XML file with <annotations>, got {listed}; give it itself")
    path = files[0]
    root = _parse(path)
    elements = root.findall("image")
    there = list(dict.fromkeys(name for name in map(_split_of, elements) if name))
    split = request.choose(there)
    if split is not None and split not in there:
        raise DatasetError(f"data set {folder}: no split {split!r}; it has {', '.join(there) or 'none'}")
    names = _class_names(root)
    export = Export(path, ImageIndex(folder if folder.is_dir() else path.parent), request)
    images = []
    for element in elements:
        if split in (None, _split_of(element)):
            try:
                images.append(_read_image(element, names, export))
            except LabelError as error:
                request.report(error)
    if tracks := len(root.findall("track")):
        export.extras["tracks of a video, which aren't read"] = tracks
    in_order = tuple(sorted(images, key=lambda image: image.path))
    notes = tuple(f"{count} {what}" for what, count in export.extras.items())
    return Dataset(folder, "cvat", split, names, in_order, notes)


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(read_text(path))  # noqa: S314 (expat refuses entity bombs since 2.4.1)
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelError("broken_label", str(path), "", f"expected XML, got: {error}") from error


def _class_names(root: ElementTree.Element) -> tuple[str, ...]:
    """Return the labels in the task's order, then those that only boxes have."""
    declared = [
        label.findtext("name") or ""
        for label in root.findall("meta//labels/label")
        if label.findtext("type") in (None, "any", "rectangle")
    ]
    used = sorted({box.get("label") or "" for box in root.findall("image/box")})
    return tuple(dict.fromkeys(name for name in (*declared, *used) if name))


def _read_image(element: ElementTree.Element, names: tuple[str, ...], export: Export) -> LabelledImage:
    at = f"image id {element.get('id')}"
    image = _image_file(element.get("name") or "", at, export)
    truth = Labels.empty()
    for place, box in enumerate(element.findall("box")):
        try:
            _add(truth, box, f"{at}, box[{place}]", export)
        except LabelError as error:
            export.request.report(error)
    for other in element:
        if other.tag != "box":
            export.extras[f"shapes of type {other.tag}, which aren't read"] += 1
    return truth.image(image, names, size_px=_size(element), label=export.path)


def _image_file(name: str, at: str, export: Export) -> Path:
    for base in (export.path.parent, export.index.folder):
        for place in (base / "images" / name, base / name):
            if name and is_there(place) and place.is_file():
                return place
    return Path(name) if is_image_there(name) else export.index.find(name, export.path, at)


def _add(truth: Labels, box: ElementTree.Element, at: str, export: Export) -> None:
    name = box.get("label") or ""
    if not name:
        raise export.wrong("unknown_class", at, "expected a label, got none")
    texts = [box.get(corner) for corner in _CORNERS]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError:
        raise export.wrong("broken_label", at, f"expected numbers as {', '.join(_CORNERS)}, got {texts}") from None
    if not (x1 < x2 and y1 < y2 and all(map(math.isfinite, (x1, y1, x2, y2)))):
        what = f"expected xtl < xbr and ytl < ybr, got {x1:g} {y1:g} {x2:g} {y2:g}"
        raise export.wrong("empty_box", at, what)
    attributes = {one.get("name"): (one.text or "").strip().lower() for one in box.findall("attribute")}
    is_difficult = attributes.pop(DIFFICULT, "") in ("true", "1")
    export.extras.update(f"attributes {each!r} of boxes, which aren't read" for each in attributes)
    if box.get("rotation", "0").strip("0.") != "":
        export.extras["boxes are turned, which isn't read: the upright one counts"] += 1
    if box.get("occluded") == "1":
        export.extras["boxes are marked as occluded, which isn't read"] += 1
    truth.add((x1, y1, x2, y2), name, is_ignored=is_difficult, at=at)


def _size(element: ElementTree.Element) -> tuple[int, int] | None:
    texts = element.get("width", ""), element.get("height", "")
    return (
        (int(texts[0]), int(texts[1]))
        if all(text.isdecimal() and len(text) < 8 and int(text) > 0 for text in texts)
        else None
    )


READER = Reader("cvat", "CVAT XML 1.1 for images", _recognise, _read, _splits)
