"""Good and defective images with masks, two layouts: MVTec AD's and the magnetic-tile set's.

MVTec AD: `train/good`, `test/good`, `test/<kind>`, `ground_truth/<kind>/<stem>[_mask].png`. Magnetic tile:
`MT_Free/Imgs/*.jpg` and `MT_<kind>/Imgs/*.jpg`, masks as `.png` of the same stem. Boxes are drawn around the
connected areas of a mask.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError
from appliance.learning.datasets.dataset import Dataset, LabelledImage
from appliance.learning.datasets.files import image_files, read_image
from appliance.learning.datasets.reader import SPLITS, TO_MEASURE, Reader, Request

_GOOD = "good"
_TILE_PREFIX, _TILE_GOOD = "MT_", "MT_Free"
_Row = tuple[Path, str | None, Path | None]
"""Image, kind of defect (None: good), mask."""


def _recognise(folder: Path) -> str | None:
    if (folder / "test" / _GOOD).is_dir() or (folder / "train" / _GOOD).is_dir():
        return "test/good or train/good is a folder"
    if (folder / _TILE_GOOD).is_dir():
        return f"{_TILE_GOOD} is a folder"
    return None


def _read(request: Request) -> Dataset:
    folder = request.folder
    if (folder / _TILE_GOOD).is_dir():
        if request.split is not None:
            raise DatasetError(f"data set {folder}: no split {request.split!r}; the magnetic-tile layout has none")
        split, rows = None, _tile_rows(folder)
    else:
        split = request.choose([name for name in TO_MEASURE if (folder / name).is_dir()]) or "test"
        rows = _mvtec_rows(folder, split)
    names = tuple(sorted({kind for _, kind, _ in rows if kind is not None}))
    images = tuple(_labelled(row, names) for row in rows)
    return Dataset(folder, "masks", split, names, images)


def _mvtec_rows(folder: Path, split: str) -> list[_Row]:
    root = folder / split
    if not root.is_dir():
        raise DatasetError(f"data set {folder}: no split {split!r}: expected the folder {root}")
    return [(path, _kind(path, root), _mvtec_mask(folder, path, root)) for path in image_files(root)]


def _kind(path: Path, root: Path) -> str | None:
    kind = path.relative_to(root).parts[0]
    if kind == path.name:
        raise DatasetError(f"image {path}: expected it in a folder good or of a defect's name, got none")
    return None if kind == _GOOD else kind


def _mvtec_mask(folder: Path, path: Path, root: Path) -> Path | None:
    kind = _kind(path, root)
    if kind is None:
        return None
    places = [folder / "ground_truth" / kind / f"{path.stem}{ending}.png" for ending in ("_mask", "")]
    return next((place for place in places if place.is_file()), None)


def _tile_rows(folder: Path) -> list[_Row]:
    rows: list[_Row] = []
    for path in image_files(folder):
        kind = path.relative_to(folder).parts[0]
        if not kind.startswith(_TILE_PREFIX) or path.suffix != ".jpg":
            continue
        mask = path.with_suffix(".png")
        is_good = kind == _TILE_GOOD
        rows.append((path, None if is_good else kind, None if is_good or not mask.is_file() else mask))
    return rows


def _splits(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in SPLITS if (folder / name).is_dir())


def _labelled(row: _Row, names: tuple[str, ...]) -> LabelledImage:
    path, kind, mask = row
    boxes = _boxes(mask) if mask is not None else np.zeros((0, 4), np.float32)
    class_id = names.index(kind) if kind is not None else 0
    return LabelledImage(
        path=path,
        part=str(path),
        boxes=boxes,
        class_ids=np.full(len(boxes), class_id, np.int64),
        is_ignored=np.zeros(len(boxes), np.bool_),
        kind=kind,
    )


def _boxes(path: Path) -> NDArray[np.float32]:
    pixels, _ = read_image(path)
    mask = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    _, _, areas, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    corners = np.stack([areas[1:, 0], areas[1:, 1], areas[1:, 0] + areas[1:, 2], areas[1:, 1] + areas[1:, 3]], axis=1)
    return corners.astype(np.float32)


READER = Reader("masks", "good and defective images with masks, as MVTec AD's", _recognise, _read, _splits)
