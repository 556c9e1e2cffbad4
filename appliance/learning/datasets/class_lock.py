"""`classes.lock.toml` beside a set: the id of each class, by name, for as long as the set lives.

A new class gets the next id; one that no box has any more keeps its own. So the ids in a model, in YOLO's rows and
in COCO's categories mean the same after every round of labelling.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from appliance.errors import DatasetError
from appliance.learning.datasets.files import read_text

LOCK_FILE = "classes.lock.toml"
_HEAD = "# The ids of the classes, by name. New ones are appended; removed ones keep their id.\n\n[classes]\n"


@dataclass(frozen=True)
class ClassLock:
    """The classes of a set in the order of their ids, from 0 on and without gaps."""

    names: tuple[str, ...] = ()

    @classmethod
    def beside(cls, folder: Path) -> Self | None:
        """Read the lock of a set: in its folder, or beside the file that describes it; None where it has none."""
        path = (folder if folder.is_dir() else folder.parent) / LOCK_FILE
        return cls.read(path) if path.is_file() else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a lock file.

        Raises:
            DatasetError: It isn't one, or an id is missing or there twice.
        """
        try:
            ids = tomllib.loads(read_text(path))["classes"]
            by_id = {number: str(name) for name, number in ids.items()}
        except (tomllib.TOMLDecodeError, KeyError, AttributeError, TypeError) as error:
            raise DatasetError(f"{path}: expected a table [classes] of names and ids, got: {error}") from error
        if sorted(map(str, by_id)) != sorted(map(str, range(len(ids)))):
            got = ", ".join(f"{name} = {number}" for name, number in ids.items())
            raise DatasetError(f"{path}: expected ids from 0 to {len(ids) - 1}, each once; got {got}")
        return cls(tuple(by_id[number] for number in range(len(ids))))

    def with_names(self, names: Iterable[str]) -> Self:
        """Return a lock that has these classes too, the new ones behind the old."""
        return type(self)(tuple(dict.fromkeys((*self.names, *names))))

    def write(self, path: Path) -> None:
        """Write the lock file, whole or not at all."""
        rows = (f"{json.dumps(name, ensure_ascii=False)} = {number}\n" for number, name in enumerate(self.names))
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(_HEAD + "".join(rows), encoding="utf-8")
        draft.replace(path)
