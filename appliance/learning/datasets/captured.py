"""Where the pictures of a captured set come from: `capture-manifest.jsonl` beside them, one JSON object for each.

Labels come and go in whatever format a person likes; the manifest is only added to. So a set knows its parts (leaks
between splits), what is simulated, and which of its pictures nobody has labelled yet: those are no OK parts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from appliance.errors import LabelError
from appliance.learning.datasets.dataset import Dataset, LabelledImage
from appliance.learning.datasets.files import pictures, read_text
from appliance.learning.datasets.finding import Finding
from appliance.learning.datasets.reader import refuse

MANIFEST = "capture-manifest.jsonl"
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class CapturedPicture:
    """One line of a manifest.

    Attributes:
        path: The picture, beside the manifest.
        at: The line.
        row: What the line says.
    """

    path: Path
    at: str
    row: dict[str, Any]

    @property
    def is_simulated(self) -> bool:
        """Whether a simulated camera, or a replay of files, made it; what doesn't say so is taken for simulated."""
        return self.row.get("is_simulated") is not False

    @property
    def part(self) -> str | None:
        """What tells parts apart: the part's id, else the inspection's; None where neither is known."""
        if self.row.get("part_id"):
            return str(self.row["part_id"])
        inspection = self.row.get("inspection_id")
        return None if inspection is None else f"{self.row.get('ledger_epoch')}/{inspection}"


@dataclass(frozen=True)
class Provenance:
    """All manifests of a set, by the pictures' real paths; empty for a set that was never captured.

    Attributes:
        folders: Those that hold a manifest.
    """

    captured: dict[Path, CapturedPicture] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, folder: Path, report: Callable[[LabelError], None] = refuse) -> Self:
        """Read the manifests below a folder, or beside the file that describes a set.

        Raises:
            DatasetError: A line is broken, and `report` raises.
        """
        root = folder if folder.is_dir() else folder.parent
        captured: dict[Path, CapturedPicture] = {}
        manifests = sorted(root.rglob(MANIFEST))
        for manifest in manifests:
            for picture in read_manifest(manifest, report):
                captured[picture.path.resolve()] = picture
        return cls(captured, tuple(manifest.parent for manifest in manifests))

    def __len__(self) -> int:
        return len(self.captured)

    def find(self, image: Path) -> CapturedPicture | None:
        """Return what is known of a picture."""
        return self.captured.get(image.resolve())

    def inform(self, dataset: Dataset) -> Dataset:
        """Tell a set what the manifests know: which images show the same part, and which are simulated."""
        if not self.captured:
            return dataset
        found = [(image, self.find(image.path)) for image in dataset.images]
        notes = list(dataset.notes)
        if simulated := sum(one is not None and one.is_simulated for _, one in found):
            of = f"{simulated} of {len(found)} images are simulated (is_simulated)"
            notes.append(f"{of}: figures of them say nothing of a line")
        images = tuple(_with_part(image, one) for image, one in found)
        return replace(dataset, images=images, notes=tuple(notes))

    def carried(self, places: Iterable[tuple[Path, Path]]) -> str:
        """Write the manifest of a set that has these pictures at new places; "" where none was captured.

        Args:
            places: Where each picture is, and where it will be, below the new set.
        """
        if not self.captured:
            return ""
        rows = [(one, new) for old, new in places if (one := self.find(old)) is not None]
        lines = [{**picture.row, "file": new.as_posix()} for picture, new in rows]
        return "".join(f"{manifest_line(line)}\n" for line in lines)

    def findings(self, labelled: set[Path]) -> Iterator[Finding]:
        """Hold the manifests against the files.

        Args:
            labelled: Real paths of the images that have labels.
        """
        for path, picture in self.captured.items():
            manifest = str(picture.path.parent / MANIFEST)
            if not path.is_file():
                what = f"{picture.path.name} is in the manifest and not in the folder: deleted, or moved?"
                yield Finding(manifest, picture.at, "captured_gone", what)
            elif hashlib.sha256(path.read_bytes()).hexdigest() != picture.row["sha256"]:
                what = f"expected the picture as it was captured ({manifest}, {picture.at}), got other bytes"
                yield Finding(str(picture.path), "", "captured_changed", what)
            elif path not in labelled:
                yield Finding(str(picture.path), "", UNLABELLED, "captured, not labelled yet: it isn't used")
        for folder in self.folders:
            for path in pictures(folder):
                if path.resolve() not in self.captured:
                    what = f"no line of {folder / MANIFEST} tells where it comes from"
                    yield Finding(str(path), "", "no_provenance", what)

    def figures(self, labelled: set[Path]) -> dict[str, Any]:
        """Count the pictures that are there; arguments as `findings`."""
        there = {path: picture for path, picture in self.captured.items() if path.is_file()}
        rows = [picture.row for picture in there.values()]
        return {
            "images": len(there),
            "labelled": len(labelled & there.keys()),
            "unlabelled": len(there.keys() - labelled),
            "is_simulated": sum(picture.is_simulated for picture in there.values()),
            "by_camera": dict(sorted(Counter(str(row.get("camera")) for row in rows).items())),
            "by_model": dict(sorted(Counter(_name(row.get("model")) for row in rows).items())),
        }


def manifest_line(row: dict[str, Any]) -> str:
    """Write one line of a manifest, without its end."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def read_manifest(path: Path, report: Callable[[LabelError], None] = refuse) -> Iterator[CapturedPicture]:
    """Yield the lines of one manifest; `report` is told of what is broken, and may raise."""
    try:
        lines = read_text(path).splitlines()
    except LabelError as error:
        report(LabelError("broken_manifest", error.file, error.at, error.what))
        return
    for number, line in enumerate(lines, start=1):
        at = f"line {number}"
        try:
            row = json.loads(line)
            name, sha256 = row["file"], row["sha256"]
            is_below = not Path(name).is_absolute() and ".." not in Path(name).parts
            if not is_below or not isinstance(sha256, str):
                raise ValueError(f"file {name!r}, sha256 {sha256!r}")  # noqa: TRY301 (one way for all that is wrong)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"expected an object with `file` (below this folder) and `sha256`, got {line[:60]!r} ({error!r})"
            report(LabelError("broken_manifest", str(path), at, what))
            continue
        yield CapturedPicture(path.parent / name, at, row)


def _with_part(image: LabelledImage, picture: CapturedPicture | None) -> LabelledImage:
    if picture is None or image.has_part or picture.part is None:
        return image
    return replace(image, part=picture.part)


def _name(model: Any) -> str:
    return str(model.get("name")) if isinstance(model, dict) else "none"
