"""What each format's module offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.learning.datasets.dataset import Dataset


@dataclass(frozen=True)
class Request:
    """What shall be read.

    Attributes:
        folder: The set's folder; COCO's json file is allowed too.
        split: None lets the reader choose: "test" where the set has one, else "val", else everything.
        class_names: For YOLO sets that name no classes.
    """

    folder: Path
    split: str | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        recognise: Looks at a folder and says in words why it is this format, or None.
        read: Reads it; raises DatasetError with file, line, what was expected and what is there.
    """

    name: str
    title: str
    recognise: Callable[[Path], str | None]
    read: Callable[[Request], Dataset]
