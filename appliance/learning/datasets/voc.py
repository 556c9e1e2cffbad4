"""Pascal VOC XML, as labelImg writes it: one file an image, corners in px.

labelImg writes the corners where they were drawn, counted from 0 (it only lifts a 0 to 1); so x2 and y2 are
exclusive and nothing is subtracted. Source: labelImg 1.8.6, libs/pascal_voc_io.py and libs/labelFile.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from appliance.errors import DatasetError
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import ImageIndex, names_in, read_text
from appliance.learning.datasets.reader import Reader, Request

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_Row = tuple[Path, Labels, tuple[int, int] | None]


def _recognise(folder: Path) -> str | None:
    for path in sorted(folder.rglob("*.xml"))[:1]:
        if "<annotation" in path.read_text(encoding="utf-8", errors="replace")[:2000]:
            return f"{path.relative_to(folder)} is an <annotation>"
    return None


def _read(request: Request) -> Dataset:
    folder = request.folder
    labels = sorted(folder.rglob("*.xml"))
    split, labels = _of_split(request, labels)
    index = ImageIndex(folder)
    if not len(index):  # the label folder itself was given
        index = ImageIndex(folder.parent)
    rows = [_read_label(path, index) for path in labels]
    names = sorted({name for _, truth, _ in rows for name in truth.class_names})
    images = [_image(row, names) for row in rows]
    unlabelled = 0 if split else len(index.stems - {image.path.stem for image in images})
    notes = (f"{unlabelled} images have no XML file and were left out",) if unlabelled else ()
    return Dataset(folder, "voc", split, tuple(names), tuple(images), notes)


def _image(row: _Row, names: list[str]) -> LabelledImage:
    path, truth, size_px = row
    return truth.image(path, names, size_px=size_px)


def _of_split(request: Request, labels: list[Path]) -> tuple[str | None, list[Path]]:
    """Choose the label files of a split: VOC's own lists, else folders of the splits' names."""
    folder = request.folder
    lists = {path.stem: path for path in sorted(folder.rglob("ImageSets/Main/*.txt"))}
    folders = {name for path in labels for name in path.relative_to(folder).parts[:-1]}
    split = request.choose(lists.keys() or folders)
    if split is None:
        return None, labels
    if split in lists:
        stems = {line.split()[0] for line in names_in(read_text(lists[split]).splitlines())}
        if missing := sorted(stems - {path.stem for path in labels}):
            raise DatasetError(f"{lists[split]}: expected an XML file for each name, got none for {missing[0]!r}")
        return split, [path for path in labels if path.stem in stems]
    if split in folders:
        return split, [path for path in labels if split in path.relative_to(folder).parts[:-1]]
    raise DatasetError(
        f"data set {folder}: no split {split!r}: neither ImageSets/Main/{split}.txt nor a folder of that name; "
        f"it has {', '.join(sorted(lists)) or 'no lists'}"
    )


def _read_label(path: Path, index: ImageIndex) -> _Row:
    text = read_text(path)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (expat refuses entity bombs since 2.4.1)
    except ElementTree.ParseError as error:
        raise DatasetError(f"label {path}: expected XML, got: {error}") from error
    if root.tag != "annotation":
        raise DatasetError(f"label {path}: expected the root element <annotation>, got <{root.tag}>")
    image = index.find(root.findtext("filename") or path.stem, path, f"label {path}")
    truth = Labels.empty()
    for number, element in enumerate(root.findall("object")):
        where = f"label {path}, line {_line_of(text, number)}"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise DatasetError(f"{where}: expected an <object> with a <name>, got none")
        is_difficult = (element.findtext("difficult") or "0").strip() not in ("0", "")
        truth.add(_corners(element, where), name, is_ignored=is_difficult)
    return image, truth, _size(root)


def _corners(element: ElementTree.Element, where: str) -> tuple[float, float, float, float]:
    texts = [element.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError:
        raise DatasetError(f"{where}: expected numbers as {', '.join(_CORNERS)} in <bndbox>, got {texts}") from None
    if not (x1 < x2 and y1 < y2 and all(map(math.isfinite, (x1, y1, x2, y2)))):
        raise DatasetError(f"{where}: expected xmin < xmax and ymin < ymax, got {x1:g} {y1:g} {x2:g} {y2:g}")
    return x1, y1, x2, y2


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return width and height; None where the writer left them out or wrote 0, as some tools do."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _line_of(text: str, number: int) -> int:
    """Return the line of the number-th <object>, counted from 1."""
    place = -1
    for _ in range(number + 1):
        place = text.find("<object", place + 1)
    return text.count("\n", 0, place) + 1


READER = Reader("voc", "Pascal VOC XML, as labelImg writes it", _recognise, _read)
