"""What each format's writer is given, and what it promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.learning.datasets.dataset import LabelledImage

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class OutputImage:
    """One image on its way into a set that is being written.

    Attributes:
        truth: The image as it was read.
        split: Where it belongs; None in a set without splits.
        name: Its file name in the new set, told apart from every other one by its stem.
        file: Where its pixels will be: in the new set, or where they were left.
        channels: 1 or 3.
    """

    truth: LabelledImage
    split: str | None
    name: str
    file: Path
    size_px: tuple[int, int]
    channels: int

    @property
    def stem(self) -> str:
        """The name without suffix: label files have it."""
        return Path(self.name).stem

    def rows(self) -> Iterator[tuple[Box, int, bool]]:
        """Yield each box (xyxy in px), its class id, and whether it is ignored."""
        truth = self.truth
        boxes = map(tuple, truth.boxes.tolist())
        yield from zip(boxes, truth.class_ids.tolist(), truth.is_ignored.tolist(), strict=True)


@dataclass(frozen=True)
class Output:
    """A set to be written.

    Attributes:
        folder: Where to write now; it is renamed to `home` when everything is there.
        home: Where the set will live: for paths inside its files.
        class_names: In the order of their ids.
        images: In the order of splits and names.
        keeps_images: The set has the images itself; otherwise they were left where they are.
        made_by: What a pre-labelling model calls itself; None where people made the labels.
    """

    folder: Path
    home: Path
    class_names: tuple[str, ...]
    images: tuple[OutputImage, ...]
    keeps_images: bool = True
    made_by: str | None = None

    @property
    def splits(self) -> tuple[str | None, ...]:
        """The splits, each once, in the images' order."""
        return tuple(dict.fromkeys(image.split for image in self.images))

    def of_split(self, split: str | None) -> tuple[OutputImage, ...]:
        """Return the images of one split."""
        return tuple(image for image in self.images if image.split == split)

    def image_name(self, image: OutputImage, image_folder: str) -> str:
        """Return how a label file names an image: from the image folder on, or the whole path where it was left."""
        return image.file.relative_to(self.home / image_folder).as_posix() if self.keeps_images else str(image.file)


@dataclass(frozen=True)
class Writer:
    """One format.

    Attributes:
        image_folder: Where the set keeps its images, in a folder for each split; "" is the set's own folder.
        carries_difficult, carries_parts: Whether the format can say this; what it can't say, the conversion tells.
        write: Writes the label files, and says what only this format loses.
    """

    name: str
    image_folder: str
    carries_difficult: bool
    carries_parts: bool
    write: Callable[[Output], list[str]]


def write_text(path: Path, text: str) -> None:
    """Write a label file, in UTF-8 and with plain line ends, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
