"""Pascal VOC XML, as labelImg writes it: one file an image, corners in px.

labelImg writes the corners where they were drawn, counted from 0 (it only lifts a 0 to 1); so x2 and y2 are
exclusive and nothing is subtracted. Source: labelImg 1.8.6, libs/pascal_voc_io.py and libs/labelFile.py.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets.dataset import Dataset, Labels
from appliance.learning.datasets.files import ImageIndex, names_in, read_text
from appliance.learning.datasets.reader import SPLITS, Reader, Request

PRELABELLED = "prelabelled by "
"""<database> of a file that a model wrote; labelImg puts "Unknown" there as soon as a person saves the file."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ROOT = re.compile(r"<annotation[\s>]")  # CVAT's root is <annotations>
_NOT_READ = {"part": "parts of objects", "polygon": "polygons", "mask": "masks", "attributes": "attributes"}


@dataclass(frozen=True)
class _Label:
    path: Path
    image: Path
    truth: Labels
    size_px: tuple[int, int] | None
    root: ElementTree.Element


def _recognise(folder: Path) -> str | None:
    for path in sorted(folder.rglob("*.xml"))[:1]:
        if _ROOT.search(path.read_text(encoding="utf-8", errors="replace")[:2000]):
            return f"{path.relative_to(folder)} is an <annotation>"
    return None


def _read(request: Request) -> Dataset:
    folder = request.folder
    split, paths = _of_split(request, sorted(folder.rglob("*.xml")))
    index = ImageIndex(folder)
    if not len(index):  # the label folder itself was given
        index = ImageIndex(folder.parent)
    labels = []
    for path in paths:
        try:
            labels.append(_read_label(path, index, request))
        except LabelError as error:
            request.report(error)
    names = sorted({name for label in labels for name in label.truth.class_names})
    images = [
        label.truth.image(label.image, names, size_px=label.size_px, label=label.path)
        for label in sorted(labels, key=lambda label: label.image)
    ]
    notes = _notes(labels)
    if unlabelled := 0 if split else len(index.stems - {image.path.stem for image in images}):
        notes.insert(0, f"{unlabelled} images have no XML file and were left out")
    return Dataset(folder, "voc", split, tuple(names), tuple(images), tuple(notes))


def _notes(labels: Sequence[_Label]) -> list[str]:
    """Say what the files hold beyond boxes, names and `difficult`."""
    extras = Counter(words for label in labels for tag, words in _NOT_READ.items() if label.root.find(f"object/{tag}"))
    notes = [f"{count} label files have {words}, which aren't read" for words, count in sorted(extras.items())]
    if verified := sum(label.root.get("verified") == "yes" for label in labels):
        notes.append(f"{verified} label files carry labelImg's mark `verified`, which isn't read")
    untouched = sum((label.root.findtext("source/database") or "").startswith(PRELABELLED) for label in labels)
    if untouched:
        notes.append(f"{untouched} label files are as a model wrote them: no person has saved them since")
    return notes


def _splits(folder: Path) -> tuple[str, ...]:
    if lists := _lists(folder):
        return tuple(lists)
    folders = {name for path in folder.rglob("*.xml") for name in path.relative_to(folder).parts[:-1]}
    return tuple(name for name in SPLITS if name in folders)


def _lists(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.rglob("ImageSets/Main/*.txt"))}


def _of_split(request: Request, labels: list[Path]) -> tuple[str | None, list[Path]]:
    """Choose the label files of a split: VOC's own lists, else folders of the splits' names."""
    folder = request.folder
    lists = _lists(folder)
    folders = {name for path in labels for name in path.relative_to(folder).parts[:-1]}
    split = request.choose(lists.keys() or folders)
    if split is None:
        return None, labels
    if split in lists:
        stems = {line.split()[0] for line in names_in(read_text(lists[split]).splitlines())}
        for missing in sorted(stems - {path.stem for path in labels}):
            what = f"expected an XML file for each name, got none for {missing!r}"
            request.report(LabelError("missing_label", str(lists[split]), "", what))
        return split, [path for path in labels if path.stem in stems]
    if split in folders:
        return split, [path for path in labels if split in path.relative_to(folder).parts[:-1]]
    raise DatasetError(
        f"data set {folder}: no split {split!r}: neither ImageSets/Main/{split}.txt nor a folder of that name; "
        f"it has {', '.join(sorted(lists)) or 'no lists'}"
    )


def _read_label(path: Path, index: ImageIndex, request: Request) -> _Label:
    text = read_text(path)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (expat refuses entity bombs since 2.4.1)
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelError("broken_label", str(path), "", f"expected XML, got: {error}") from error
    if root.tag != "annotation":
        what = f"expected the root element <annotation>, got <{root.tag}>"
        raise LabelError("broken_label", str(path), "", what)
    image = index.find(root.findtext("filename") or path.stem, path, "", left_at=root.findtext("path"))
    truth = Labels.empty()
    for number, element in enumerate(root.findall("object")):
        try:
            _add(truth, element, path, f"line {_line_of(text, number)}")
        except LabelError as error:
            request.report(error)
    return _Label(path, image, truth, _size(root), root)


def _add(truth: Labels, element: ElementTree.Element, path: Path, at: str) -> None:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise LabelError("unknown_class", str(path), at, "expected an <object> with a <name>, got none")
    is_difficult = (element.findtext("difficult") or "0").strip() not in ("0", "")
    truth.add(_corners(element, path, at), name, is_ignored=is_difficult, at=at)


def _corners(element: ElementTree.Element, path: Path, at: str) -> tuple[float, float, float, float]:
    texts = [element.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError:
        what = f"expected numbers as {', '.join(_CORNERS)} in <bndbox>, got {texts}"
        raise LabelError("broken_label", str(path), at, what) from None
    if x1 == x2 == 1:  # labelImg lifts a 0 to 1, and so empties a box of 1 px at the image's edge
        x1 = 0.0
    if y1 == y2 == 1:
        y1 = 0.0
    if not (x1 < x2 and y1 < y2 and all(map(math.isfinite, (x1, y1, x2, y2)))):
        what = f"expected xmin < xmax and ymin < ymax, got {x1:g} {y1:g} {x2:g} {y2:g}"
        raise LabelError("empty_box", str(path), at, what)
    return x1, y1, x2, y2


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return width and height; None where the writer left them out or wrote 0, as some tools do."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _line_of(text: str, number: int) -> int:
    """Return the line of the number-th <object>, counted from 1."""
    place = -1
    for _ in range(number + 1):
        place = text.find("<object", place + 1)
    return text.count("\n", 0, place) + 1


READER = Reader("voc", "Pascal VOC XML, as labelImg writes it", _recognise, _read, _splits)
