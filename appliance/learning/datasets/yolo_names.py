"""How a YOLO set names its classes and lays out its splits: data.yaml, classes.txt, or folders alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.errors import DatasetError
from appliance.learning.datasets.files import is_there, names_in, read_text
from appliance.learning.datasets.reader import SPLITS

NAME_LISTS = ("classes.txt", "obj.names", "predefined_classes.txt")


@dataclass(frozen=True)
class Layout:
    """Where a YOLO set keeps what.

    Attributes:
        folder: What the paths of the YAML file start from.
        splits: Split to folders of images, or `.txt` lists of them; a split that isn't read need not be there.
        label_folder: The folder of the labels where they are neither beside the images nor in a twin of their folder.
    """

    folder: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, tuple[Path, ...]]
    label_folder: Path | None = None

    @classmethod
    def without_yaml(cls, folder: Path) -> Layout:
        """Read what folders and lists of names tell."""
        found = [path for name in NAME_LISTS for path in sorted(folder.rglob(name))]
        names = tuple(names_in(read_text(found[0]).splitlines())) if found else ()
        splits = {
            name: (place,)
            for name in SPLITS
            for place in (folder / "images" / name, folder / name / "images", folder / name)
            if place.is_dir()
        }
        label_folder = folder / "labels" if (folder / "labels").is_dir() else None
        return cls(folder, names, splits, label_folder)


def read_layout(place: Path) -> Layout | None:
    """Read a set's YAML file, or the one in its folder; None where there is none with `names`.

    Raises:
        DatasetError: It has `names`, but isn't what Ultralytics writes.
    """
    for path in [place] if place.is_file() else sorted([*place.glob("*.yaml"), *place.glob("*.yml")]):
        content = _yaml(path)
        if isinstance(content, dict) and "names" in content:
            return _layout(content, path)
    return None


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read class names from a file: YAML with `names`, a YAML or JSON list, else a text with a name a line.

    Raises:
        DatasetError: The file can't be read, or holds no names that differ.
    """
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        return _names(names_in(read_text(path).splitlines()), path)
    content = _yaml(path)
    return _names(content.get("names", content) if isinstance(content, dict) else content, path)


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # impossible dates, a thousand brackets
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        told = " ".join(str(getattr(error, "problem", None) or error).split())
        raise DatasetError(f"{path}{line}: expected YAML, got: {told}") from error


def _layout(content: dict[str, Any], path: Path) -> Layout:
    root = (path.parent / str(content.get("path") or ".")).resolve()
    if not (is_there(root) and root.is_dir()):  # written for another machine
        root = path.parent.resolve()
    splits = {}
    for name in SPLITS:
        sources = content.get(name)
        if sources:
            listed = sources if isinstance(sources, list) else [sources]
            splits[name] = tuple(_source(str(source), root, path) for source in listed)
    labels = path.parent / "labels"
    return Layout(root, _names(content["names"], path), splits, labels if labels.is_dir() else None)


def _names(names: Any, path: Path) -> tuple[str, ...]:
    """Take a list, or a mapping of dense ids to names."""
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise DatasetError(f"{path}: expected names as a list, or as ids from 0 on, all different; got {names!r}")
    return tuple(map(str, names))


def _source(source: str, root: Path, path: Path) -> Path:
    """Find a split's folder or list; `../train/images` may mean `train/images`, as Roboflow writes it."""
    candidates = (root / source, path.parent / source, root / source.removeprefix("../"))
    return next((candidate.resolve() for candidate in candidates if is_there(candidate)), root / source)
