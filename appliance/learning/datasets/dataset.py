"""Labelled images: what each one shows, whatever the format of its label file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError

MOST_NAMES = 20  # in one message


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """One image and its truth.

    Attributes:
        path: The image file.
        part: Images of one part share it; where a set knows no parts, each image is one.
        boxes: (K, 4) float32 xyxy in px of the image; x2 and y2 are exclusive.
        class_ids: (K,) int64, an index into the set's class names.
        is_ignored: (K,) bool: "difficult" (VOC) or "crowd" (COCO), neither reward nor fault.
        size_px: Width and height that the label was made for, where it says so.
        kind: What a set that labels whole images calls this one's defect; None for the others and for OK images.
        label: Its label file; None where there is none.
        places: Where in the label file each box stands: "line 12"; () where the format or the boxes' maker can't say.
    """

    path: Path
    part: str
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    is_ignored: NDArray[np.bool_]
    size_px: tuple[int, int] | None = None
    kind: str | None = None
    label: Path | None = None
    places: tuple[str, ...] = ()

    @property
    def has_part(self) -> bool:
        """Whether the set knows which part the image shows."""
        return self.part != str(self.path)

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong with it. One with only ignored boxes is neither OK nor NG."""
        return len(self.boxes) == 0 and self.kind is None

    @property
    def is_ng(self) -> bool:
        """Whether it shows a defect."""
        return self.kind is not None or not self.is_ignored.all()


@dataclass(frozen=True)
class Labels:
    """The boxes of one label file, gathered row by row; `finish` makes the image of them."""

    boxes: list[tuple[float, float, float, float]]
    class_names: list[str]
    is_ignored: list[bool]
    places: list[str]

    @classmethod
    def empty(cls) -> Labels:
        """Return the labels of an OK image."""
        return cls([], [], [], [])

    def add(
        self, box: tuple[float, float, float, float], class_name: str, *, is_ignored: bool = False, at: str = ""
    ) -> None:
        """Append one box, xyxy in px, and where it stands."""
        self.boxes.append(box)
        self.class_names.append(class_name)
        self.is_ignored.append(is_ignored)
        self.places.append(at)

    def image(
        self,
        path: Path,
        class_names: Sequence[str],
        *,
        part: str | None = None,
        size_px: tuple[int, int] | None = None,
        label: Path | None = None,
    ) -> LabelledImage:
        """Make the labelled image; every name must be one of `class_names`."""
        return LabelledImage(
            path=path,
            part=part if part is not None else str(path),
            boxes=np.array(self.boxes, np.float32).reshape(-1, 4),
            class_ids=np.array([class_names.index(name) for name in self.class_names], np.int64),
            is_ignored=np.array(self.is_ignored, np.bool_),
            size_px=size_px,
            label=label,
            places=tuple(self.places),
        )


@dataclass(frozen=True)
class Dataset:
    """A set of labelled images.

    Attributes:
        folder: Where it was read from: a folder, or a file that describes the set.
        file_format: Name of its reader.
        split: The part of the set that this is; None for all of it.
        class_names: In the order of the images' class ids.
        images: In the order of their paths.
        notes: What a person should know about how the set was read.
    """

    folder: Path
    file_format: str
    split: str | None
    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.images:
            raise DatasetError(f"data set {self.folder}: expected labelled images, got none")

    @property
    def used_names(self) -> list[str]:
        """The classes that at least one box has."""
        used = {int(class_id) for image in self.images for class_id in image.class_ids}
        return [name for index, name in enumerate(self.class_names) if index in used]

    def for_classes(self, class_names: Sequence[str], renamed: Mapping[str, str] | None = None) -> Dataset:
        """Number the classes as a model does: by name, never by place.

        Args:
            class_names: The model's, in the order of its class ids.
            renamed: The set's name of a class to the model's, where they differ.
        Raises:
            DatasetError: A box's class is unknown to the model, or `renamed` names a class that the set doesn't have.
        """
        names = renamed or {}
        if strange := sorted(set(names) - set(self.class_names)):
            raise DatasetError(
                f"data set {self.folder}: no class {_listed(strange)} to rename; it has {_listed(self.class_names)}"
            )
        wanted = [names.get(name, name) for name in self.class_names]
        if unknown := sorted({names.get(name, name) for name in self.used_names} - set(class_names)):
            raise DatasetError(
                f"data set {self.folder}: the model knows no class {_listed(unknown)}; the set has "
                f"{_listed(self.used_names)}, the model {_listed(class_names)}; "
                f"--map {unknown[0]}=NAME names the model's class"
            )
        places = {name: index for index, name in enumerate(class_names)}
        new_ids = np.array([places.get(name, -1) for name in wanted], np.int64)
        images = tuple(replace(image, class_ids=new_ids[image.class_ids]) for image in self.images)
        return replace(self, class_names=tuple(class_names), images=images)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MOST_NAMES]) or "none"
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"
