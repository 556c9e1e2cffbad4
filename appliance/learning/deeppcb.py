"""The DeepPCB data set: parts with defects, clean templates as OK parts, split by board group.

Two layouts are read: the published one (`PCBData/group00041/00041/00041000_test.jpg` with labels in
`00041_not/00041000.txt`) and a flat one (`images/`, `templates/`, `labels/00041000_test.txt`).
A label row is `x1 y1 x2 y2 type`. Source: Tang et al., https://github.com/tangsanli5201/DeepPCB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import ConfigError

CLASS_NAMES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
SIZE_PX = 640
SPLIT = {
    "train": ("00041", "13000", "20085", "77000"),
    "val": ("44000",),
    "test": ("50600", "92000"),
}
LICENCE = "MIT licence file; its README adds: You can only use this dataset for research purpose."
HOME = "https://github.com/tangsanli5201/DeepPCB"
SOURCE = f"DeepPCB, Tang et al., {HOME}"


@dataclass(frozen=True)
class Part:
    """One photographed part with its truth. A part without defects is OK.

    Attributes:
        name: File name of the image.
        group: Board group: the first five digits of the name. Groups never cross a split.
        pixels: (640, 640) uint8, Mono8.
        boxes: (K, 4) float32 xyxy in px. class_ids: (K,) int64.
        clean_pixels: The same view of the board without defects, aligned, where the set has it.
    """

    name: str
    group: str
    path: Path
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    clean_pixels: NDArray[np.uint8] | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the part has no defect."""
        return len(self.class_ids) == 0


def read_split(folder: Path, split: str) -> list[Part]:
    """Read one split: parts with defects and clean templates, sorted by name.

    Raises:
        ConfigError: The folder isn't DeepPCB, or a group of the split is missing.
    """
    if not folder.is_dir():
        raise ConfigError(f"data folder {folder} does not exist; clone {HOME} and give its path")
    groups = SPLIT[split]
    images = _by_id(folder.rglob("*_test.jpg"))
    templates = _by_id(folder.rglob("*_temp.jpg"))
    labels = _by_id(path for path in folder.rglob("*.txt") if re.fullmatch(r"\d{8}(_test)?", path.stem))
    missing = [group for group in groups if not any(key.startswith(group) for key in images)]
    if missing:
        raise ConfigError(
            f"data folder {folder}: no images <digits>_test.jpg of board group {', '.join(missing)} "
            f"({len(images)} images found); expected a DeepPCB checkout"
        )
    clean = {key: _read_grey(path) for key, path in templates.items() if key[:5] in groups}
    parts = [
        _defective_part(path, labels.get(key), clean.get(key)) for key, path in images.items() if key[:5] in groups
    ]
    parts += [_clean_part(templates[key], pixels) for key, pixels in clean.items()]
    return sorted(parts, key=lambda part: part.name)


def _by_id(paths: Iterable[Path]) -> dict[str, Path]:
    return {path.name[:8]: path for path in sorted(paths)}


def _defective_part(path: Path, label: Path | None, clean: NDArray[np.uint8] | None) -> Part:
    if label is None:
        raise ConfigError(f"image {path} has no label file {path.name[:8]}.txt or {path.stem}.txt")
    boxes, class_ids = _read_label(label)
    return Part(path.name, path.name[:5], path, _read_grey(path), boxes, class_ids, clean)


def _clean_part(path: Path, pixels: NDArray[np.uint8]) -> Part:
    return Part(path.name, path.name[:5], path, pixels, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def _read_label(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        rows = [[int(x) for x in line.replace(",", " ").split()] for line in path.read_text().splitlines()]
        table = np.array([row for row in rows if row], np.int64).reshape(-1, 5)
    except ValueError as error:
        raise ConfigError(f"label {path}: expected rows `x1 y1 x2 y2 type`, got: {error}") from error
    if not len(table) or table[:, 4].min() < 1 or table[:, 4].max() > len(CLASS_NAMES):
        raise ConfigError(f"label {path}: expected rows with type 1 to {len(CLASS_NAMES)}, got {table.tolist()}")
    return table[:, :4].astype(np.float32), table[:, 4] - 1


def _read_grey(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None or pixels.shape != (SIZE_PX, SIZE_PX):
        got = "unreadable" if pixels is None else f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise ConfigError(f"image {path}: expected {SIZE_PX}x{SIZE_PX} px, got {got}")
    return np.asarray(pixels, np.uint8)
