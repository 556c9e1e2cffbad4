"""The DeepPCB data set: parts with defects, clean templates as OK parts, split by board group.

Two layouts are read: the published one (`PCBData/group00041/00041/00041000_test.jpg` with labels in
`00041_not/00041000.txt`) and a flat one (`images/`, `templates/`, `labels/00041000_test.txt`).
A label row is `x1 y1 x2 y2 type`. Source: Tang et al., https://github.com/tangsanli5201/DeepPCB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import read_text
from appliance.learning.datasets.reader import Reader, Request

CLASS_NAMES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
SIZE_PX = 640
SPLIT = {
    "train": ("00041", "13000", "20085", "77000", "92000"),
    "val": ("44000",),
    "test": ("50600",),
}
LICENCE = "MIT licence file; its README adds: You can only use this dataset for research purpose."
HOME = "https://github.com/tangsanli5201/DeepPCB"
SOURCE = f"DeepPCB, Tang et al., {HOME}"

_LABEL = re.compile(r"\d{8}(_test)?")
_ROW = re.compile(r"\d+([ ,]\d+){4}")


def board_group(path: Path) -> str:
    """Return the first five digits of an image's name: boards of one group look alike and never cross a split."""
    return path.name[:5]


def board_groups(dataset: Dataset) -> list[str]:
    """Return the board groups of a set, in order; other sets than DeepPCB know none."""
    if dataset.file_format != "deeppcb":
        return []
    return sorted({board_group(image.path) for image in dataset.images})


def template_of(path: Path) -> Path | None:
    """Return the clean image of the same view of the board, aligned, where the set has it."""
    name = f"{path.name[:8]}_temp.jpg"
    places = (path.parent / name, path.parent.parent / "templates" / name)
    return next((place for place in places if place.is_file()), None)


def _recognise(folder: Path) -> str | None:
    if next(folder.rglob("*_test.jpg"), None) is None:
        return None
    for path in _labels(folder).values():
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if rows and _ROW.fullmatch(rows[0].strip()):
            return f"{path.relative_to(folder)} has rows `x1 y1 x2 y2 type`"
    return None


def _read(request: Request) -> Dataset:
    folder = request.folder
    images = _by_id(folder.rglob("*_test.jpg"))
    templates = _by_id(folder.rglob("*_temp.jpg"))
    labels = _labels(folder)
    present = {key[:5] for key in images}
    split = request.choose([name for name, groups in SPLIT.items() if present.issuperset(groups)])
    groups = _groups(folder, split, present)
    found = []
    for key, path in images.items():
        if key[:5] in groups:
            try:
                found.append(_defective(path, labels.get(key)))
            except LabelError as error:
                request.report(error)
    found += [
        Labels.empty().image(path, CLASS_NAMES, size_px=(SIZE_PX, SIZE_PX))
        for key, path in templates.items()
        if key[:5] in groups
    ]
    return Dataset(folder, "deeppcb", split, CLASS_NAMES, tuple(sorted(found, key=lambda image: image.path.name)))


def _groups(folder: Path, split: str | None, present: set[str]) -> set[str]:
    if split is None:
        return present
    if split not in SPLIT:
        raise DatasetError(f"data set {folder}: no split {split!r}; DeepPCB has {', '.join(SPLIT)}")
    if missing := [group for group in SPLIT[split] if group not in present]:
        raise DatasetError(
            f"data set {folder}: expected images <digits>_test.jpg of board group {', '.join(missing)}, "
            f"got groups {', '.join(sorted(present)) or 'none'}; clone {HOME}"
        )
    return set(SPLIT[split])


def _labels(folder: Path) -> dict[str, Path]:
    return _by_id(path for path in folder.rglob("*.txt") if _LABEL.fullmatch(path.stem))


def _by_id(paths: Iterable[Path]) -> dict[str, Path]:
    return {path.name[:8]: path for path in sorted(paths)}


def _defective(path: Path, label: Path | None) -> LabelledImage:
    if label is None:
        what = f"expected a label file {path.name[:8]}.txt or {path.stem}.txt, got none"
        raise LabelError("missing_label", str(path), "", what)
    truth = Labels.empty()
    for number, line in enumerate(read_text(label).splitlines(), start=1):
        if not line.strip():
            continue
        at, got = f"line {number}", repr(line.strip()[:80])
        if not _ROW.fullmatch(line.strip()):
            raise LabelError("broken_label", str(label), at, f"expected a row `x1 y1 x2 y2 type`, got {got}")
        x1, y1, x2, y2, kind = (int(text) for text in line.replace(",", " ").split())
        if not (x1 < x2 and y1 < y2 and 1 <= kind <= len(CLASS_NAMES)):
            what = f"expected x1 < x2, y1 < y2 and type 1 to {len(CLASS_NAMES)}, got {got}"
            raise LabelError("broken_label", str(label), at, what)
        truth.add((x1, y1, x2, y2), CLASS_NAMES[kind - 1], at=at)
    if not truth.boxes:
        raise LabelError("broken_label", str(label), "", "expected rows `x1 y1 x2 y2 type`, got none")
    return truth.image(path, CLASS_NAMES, size_px=(SIZE_PX, SIZE_PX), label=label)


def _splits(folder: Path) -> tuple[str, ...]:
    present = {board_group(path) for path in folder.rglob("*_test.jpg")}
    return tuple(name for name, groups in SPLIT.items() if present.issuperset(groups))


READER = Reader("deeppcb", "DeepPCB's own layout", _recognise, _read, _splits)
