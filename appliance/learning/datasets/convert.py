"""Write a set in another format: all splits, images too, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.errors import DatasetError
from appliance.learning.datasets import coco_writer, cvat_writer, labelstudio_writer, voc_writer, yolo_writer
from appliance.learning.datasets.captured import MANIFEST, Provenance
from appliance.learning.datasets.class_lock import LOCK_FILE, ClassLock
from appliance.learning.datasets.dataset import Dataset, LabelledImage
from appliance.learning.datasets.files import pictures, read_image
from appliance.learning.datasets.writer import Output, OutputImage, Writer, write_text

WRITERS: dict[str, Writer] = {
    module.WRITER.name: module.WRITER
    for module in (voc_writer, yolo_writer, coco_writer, labelstudio_writer, cvat_writer)
}
ImagesMode = Literal["copy", "link", "none"]
Progress = Callable[[int, int], None]
"""Called with images done and images in all."""

_COLOUR_AXES = 3


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        splits: Images of each split; None is a set without splits.
        boxes: Of each class, in the order of the class ids.
        notes: What was left out, rounded or lost; nothing else was.
    """

    folder: Path
    file_format: str
    splits: dict[str | None, int]
    boxes: dict[str, int]
    notes: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "folder": str(self.folder),
            "format": self.file_format,
            "images": sum(self.splits.values()),
            "splits": {split or "all": count for split, count in self.splits.items()},
            "boxes": self.boxes,
            "class_ids": {name: number for number, name in enumerate(self.boxes)},
            "notes": list(self.notes),
        }


def convert(
    datasets: Sequence[Dataset],
    file_format: str,
    folder: Path,
    *,
    images: ImagesMode = "copy",
    lock: ClassLock | None = None,
    made_by: str | None = None,
    beside: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write a set.

    Args:
        datasets: Its splits, as `read_every_split` gives them.
        file_format: A key of `WRITERS`.
        folder: Where the new set shall be; must not be there yet, or be empty.
        images: Copy the image files, hard-link them, or leave them where they are and name their paths.
        lock: Ids that classes have already; the new set's lock file has them and all others.
        made_by: What a pre-labelling model calls itself.
        beside: Further text files of the set, by name.
    Raises:
        DatasetError: The folder isn't free, an image is broken or not of the size that its label says, a class name
            can't be written, or the disk fails.
    """
    writer, home = WRITERS[file_format], folder.absolute()
    names = (lock or ClassLock()).with_names(datasets[0].class_names).names
    _check_names(names)
    kept, notes = _writable([dataset.for_classes(names) for dataset in datasets])
    provenance = Provenance.of(datasets[0].folder) if images != "none" else Provenance()
    notes += _lost(kept, writer, provenance)
    with _draft(home) as draft:
        placed, renamed = _place(kept, writer, home, images, draft, progress=progress)
        if renamed:
            notes.append(f"{renamed} images have new names, because several had the same one")
        output = Output(draft, home, names, tuple(placed), images != "none", made_by)
        notes += writer.write(output)
        ClassLock(names).write(draft / LOCK_FILE)
        if rows := provenance.carried((image.truth.path, image.file.relative_to(home)) for image in placed):
            write_text(draft / MANIFEST, rows)
        for name, text in (beside or {}).items():
            write_text(draft / name, text)
    boxes = Counter(class_id for image in placed for _, class_id, _ in image.rows())
    splits = Counter(image.split for image in placed)
    by_name = {name: boxes[number] for number, name in enumerate(names)}
    return Conversion(folder, file_format, dict(splits), by_name, tuple(notes))


def _check_names(names: Sequence[str]) -> None:
    """Refuse what a list with a name a line, or XML, would give back changed."""
    for name in names:
        if not name or name != name.strip() or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
            raise DatasetError(f"class {name!r}: expected a name without control characters or spaces around it")


def _writable(datasets: Sequence[Dataset]) -> tuple[list[tuple[str | None, LabelledImage]], list[str]]:
    """Gather the images of all splits, without those that would look like OK parts and aren't."""
    notes = [note for dataset in datasets for note in dataset.notes]
    everything = [(dataset.split, image) for dataset in datasets for image in dataset.images]
    kept = [(split, image) for split, image in everything if image.is_ok or len(image.boxes)]
    if boxless := len(everything) - len(kept):
        notes.append(f"{boxless} defective images without a box were left out: as labels they would say OK")
    if not kept:
        raise DatasetError(f"data set {datasets[0].folder}: expected images with boxes, or OK ones, got none")
    if datasets[0].split is not None and datasets[0].file_format != "masks" and datasets[0].folder.is_dir():
        read = {image.path.resolve() for _, image in everything}
        if unread := sum(path.resolve() not in read for path in pictures(datasets[0].folder)):
            notes.append(f"{unread} images of the folder belong to no split or have no label, and were left out")
    return kept, notes


def _lost(kept: Sequence[tuple[str | None, LabelledImage]], writer: Writer, provenance: Provenance) -> list[str]:
    difficult = sum(int(image.is_ignored.sum()) for _, image in kept)
    parts = sum(image.has_part and provenance.find(image.path) is None for _, image in kept)
    notes = []
    if difficult and not writer.carries_difficult:
        notes.append(f"{difficult} boxes are `difficult`, which {writer.name} can't say: they became plain boxes")
    if parts and not writer.carries_parts:
        notes.append(f"{parts} images have the id of a part, which {writer.name} can't say: it was left out")
    return notes


@contextmanager
def _draft(home: Path) -> Iterator[Path]:
    """Make a folder beside the target that takes its place when all went well, and vanishes when not."""
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise DatasetError(f"{home}: expected a folder that isn't there yet, or is empty; give another one to --out")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
        try:
            draft.chmod(0o755)
            yield draft
            draft.rename(home)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        raise DatasetError(f"{home}: can't be written: {error}") from error


def _place(
    kept: Sequence[tuple[str | None, LabelledImage]],
    writer: Writer,
    home: Path,
    images: ImagesMode,
    draft: Path,
    *,
    progress: Progress | None,
) -> tuple[list[OutputImage], int]:
    """Bring the images to their places; returns them, and how many have a new name."""
    names = _names([image.path for _, image in kept], are_kept=images == "none")
    placed = []
    for done, ((split, truth), name) in enumerate(zip(kept, names, strict=True), start=1):
        size_px, channels = _look_at(truth)
        inside = Path(writer.image_folder) / (split or "") / name
        if images != "none":
            _bring(truth.path, draft / inside, images)
        file = truth.path.absolute() if images == "none" else home / inside
        placed.append(OutputImage(truth, split, name, file, size_px, channels))
        if progress is not None:
            progress(done, len(kept))
    return placed, sum(name != image.path.name for (_, image), name in zip(kept, names, strict=True))


def _names(paths: Sequence[Path], *, are_kept: bool) -> list[str]:
    """Give each image a name with a stem of its own: label files are named by it."""
    times = Counter(path.stem for path in paths)
    if are_kept:
        if repeated := [path for path in paths if times[path.stem] > 1]:
            raise DatasetError(
                f"image {repeated[0]}: {times[repeated[0].stem]} images are called {repeated[0].stem}: their label "
                "files would have one name; copy or link the images, then they get names of their own"
            )
        return [path.name for path in paths]
    given: set[str] = {stem for stem, count in times.items() if count == 1}
    names = []
    for path in paths:
        stem = path.stem
        if times[stem] > 1:
            wanted = stem = f"{path.parent.name}_{stem}"
            number = 2
            while stem in given:
                stem, number = f"{wanted}_{number}", number + 1
            given.add(stem)
        names.append(f"{stem}{path.suffix}")
    return names


def _look_at(truth: LabelledImage) -> tuple[tuple[int, int], int]:
    pixels, _ = read_image(truth.path)
    got = pixels.shape[1], pixels.shape[0]
    if truth.size_px is not None and truth.size_px != got:
        raise DatasetError(
            f"image {truth.path}: its label was made for {truth.size_px[0]}x{truth.size_px[1]} px, the image has "
            f"{got[0]}x{got[1]}; label it again, or restore the image that was labelled"
        )
    return got, 3 if pixels.ndim == _COLOUR_AXES else 1


def _bring(source: Path, target: Path, images: ImagesMode) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if images == "copy":
        shutil.copy2(source, target)
        return
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        raise DatasetError(f"image {source}: can't be linked to {target.parent}: {error.strerror}; copy it") from error
