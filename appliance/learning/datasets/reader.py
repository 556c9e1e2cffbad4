"""What each format's module offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import LabelError
from appliance.learning.datasets.dataset import Dataset
from appliance.learning.datasets.files import ImageIndex

TO_MEASURE = ("test", "val", "valid")
TO_CHOOSE = ("val", "valid", "test")
SPLITS = ("train", "val", "valid", "test")


def refuse(problem: LabelError) -> None:
    """Stop reading at the first thing that is wrong."""
    raise problem


@dataclass(frozen=True)
class Request:
    """What shall be read.

    Attributes:
        folder: The set's folder; COCO's json file and YOLO's data.yaml are allowed too.
        split: None for the first of `preferred` that the set has, else everything.
        preferred: To measure a model the test split; to choose something, the validation split.
        class_names: For YOLO sets that name no classes.
        report: Told what is wrong in a label. It raises; or it notes it, then the row, the annotation or the image
            is left out and reading goes on.
    """

    folder: Path
    split: str | None = None
    preferred: tuple[str, ...] = TO_MEASURE
    class_names: tuple[str, ...] = ()
    report: Callable[[LabelError], None] = refuse

    def choose(self, there: Collection[str]) -> str | None:
        """Return the split that was asked for, else the preferred one of those that are there."""
        return self.split or next((name for name in self.preferred if name in there), None)


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        recognise: Looks at a folder and says in words why it is this format, or None.
        read: Reads it; raises DatasetError with file, line, what was expected and what is there.
        splits: Names the splits that a folder has.
    """

    name: str
    title: str
    recognise: Callable[[Path], str | None]
    read: Callable[[Request], Dataset]
    splits: Callable[[Path], tuple[str, ...]]


@dataclass(frozen=True)
class Export:
    """One file of an annotation tool that is being read.

    Attributes:
        path: The file.
        index: Finds the images it names.
        request: What shall be read of it.
        extras: What it holds beyond boxes: words to how often.
    """

    path: Path
    index: ImageIndex
    request: Request
    extras: Counter[str] = field(default_factory=Counter)

    def wrong(self, kind: str, at: str, what: str) -> LabelError:
        """Say what is wrong at a place of the file."""
        return LabelError(kind, str(self.path), at, what)
