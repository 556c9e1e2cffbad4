"""Check a set of labelled images: everything that is wrong, file by file, not just the first thing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError, LabelError
from appliance.learning.datasets import READERS, Provenance, formats_of, read_every_split
from appliance.learning.datasets.class_lock import LOCK_FILE, ClassLock
from appliance.learning.datasets.dataset import Dataset, LabelledImage
from appliance.learning.datasets.files import names_in, pictures, read_image, read_text
from appliance.learning.datasets.finding import Finding
from appliance.learning.datasets.leaks import Look, find_leaks
from appliance.learning.datasets.perceptual_hash import perceptual_hash
from appliance.learning.datasets.voc_writer import CLASS_LIST
from appliance.learning.datasets.yolo_names import NAME_LISTS

Progress = Callable[[int, int], None]
"""Called with images done and images in all."""

_TOLERANCE_PX = 0.5  # six decimals of a share, or a tool that rounds outwards


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        datasets: The splits, without what is broken; empty where nothing could be read.
        findings: In the order of files.
        provenance: What its manifests say, where it was captured.
    """

    folder: Path
    datasets: tuple[Dataset, ...]
    findings: tuple[Finding, ...]
    provenance: Provenance = Provenance()

    @property
    def is_sound(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        return all(finding.severity != "error" for finding in self.findings)

    def figures(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "folder": str(self.folder),
            "is_sound": self.is_sound,
            **summary(self.datasets),
            "captured": self.provenance.figures(_labelled(self.datasets)) if len(self.provenance) else None,
            "findings_by_kind": dict(sorted(Counter(finding.kind for finding in self.findings).items())),
            "findings": [finding.document() for finding in self.findings],
        }


def summary(datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Count images, OK images, parts and boxes of each split and class."""
    splits: dict[str, Any] = {}
    for dataset in datasets:
        boxes = Counter(int(class_id) for image in dataset.images for class_id in image.class_ids)
        images = dataset.images
        splits[dataset.split or "all"] = {
            "images": len(images),
            "ok_images": sum(image.is_ok for image in images),
            "ng_images": sum(image.is_ng for image in images),
            "parts": len({image.part for image in images}),
            "boxes": sum(boxes.values()),
            "ignored_boxes": sum(int(image.is_ignored.sum()) for image in images),
            "boxes_by_class": {name: boxes[number] for number, name in enumerate(dataset.class_names)},
        }
    notes = dict.fromkeys(note for dataset in datasets for note in dataset.notes)
    return {"format": datasets[0].file_format if datasets else None, "splits": splits, "notes": list(notes)}


def _labelled(datasets: Sequence[Dataset]) -> set[Path]:
    """Give the real paths of the images that have labels."""
    return {image.path.resolve() for dataset in datasets for image in dataset.images}


def check(
    folder: Path,
    *,
    file_format: str = "auto",
    class_names: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Report:
    """Look at every label and every image of a set.

    Args:
        folder, file_format: As in `read_dataset`.
        class_names: The only classes allowed; default: those of the set's lock file or list of classes, if any.
    Raises:
        DatasetError: There is no such set, or its description (data.yaml, the one json file) can't be read at all.
    """
    findings: list[Finding] = []

    def note(error: LabelError) -> None:
        findings.append(Finding(error.file, error.at, error.kind, error.what))

    if not folder.exists():
        raise DatasetError(f"data set {folder}: no such folder")
    provenance = Provenance.of(folder, note)
    if provenance.folders and folder.is_dir() and file_format == "auto" and not formats_of(folder):
        findings += provenance.findings(set())
        return Report(folder, (), tuple(findings), provenance)
    try:
        datasets = read_every_split(folder, file_format=file_format, class_names=class_names, report=note)
    except DatasetError as error:
        if isinstance(error, LabelError):
            note(error)
        elif not findings:
            raise
        return Report(folder, (), tuple(findings), provenance)
    allowed = class_names or _class_list(folder, datasets[0])
    images = [(dataset, image) for dataset in datasets for image in dataset.images]
    looks = []
    for done, (dataset, image) in enumerate(images, start=1):
        findings += _check_boxes(image, dataset.class_names, allowed)
        look, seen = _check_image(image, dataset.split)
        findings += seen
        if look is not None:
            looks.append(look)
        if progress is not None:
            progress(done, len(images))
    findings += [*_check_files(folder, datasets, provenance), *find_leaks(looks)]
    findings += provenance.findings(_labelled(datasets))
    findings = sorted(set(findings), key=lambda finding: finding.file)
    return Report(folder, tuple(datasets), tuple(findings), provenance)


def _class_list(folder: Path, dataset: Dataset) -> tuple[str, ...]:
    """Return the classes that the set itself allows; empty where it doesn't say."""
    if lock := ClassLock.beside(folder):
        return lock.names
    lists = [path for name in (CLASS_LIST, "classes.txt") if (path := folder / name).is_file()]
    return tuple(names_in(read_text(lists[0]).splitlines())) if lists and dataset.file_format != "yolo" else ()


def _check_boxes(image: LabelledImage, names: Sequence[str], allowed: tuple[str, ...]) -> Iterator[Finding]:
    file = str(image.label or image.path)
    places = image.places or tuple(f"box {number}" for number in range(1, len(image.boxes) + 1))
    seen: dict[tuple[Any, ...], str] = {}
    for box, class_id, at in zip(image.boxes.tolist(), image.class_ids.tolist(), places, strict=True):
        name = names[class_id]
        if allowed and name not in allowed:
            what = f"expected a class out of {', '.join(allowed[:20])}; got {name!r} ({LOCK_FILE} or a list says so)"
            yield Finding(file, at, "unknown_class", what)
        row = (*box, class_id)
        if row in seen:
            yield Finding(file, at, "duplicate_box", f"the same box and class {name!r} as {seen[row]}")
        seen.setdefault(row, at)


def _check_image(image: LabelledImage, split: str | None) -> tuple[Look | None, list[Finding]]:
    """Decode an image, and hold its labels against its size."""
    try:
        pixels, pixel_format = read_image(image.path)
        digest = hashlib.sha256(image.path.read_bytes()).hexdigest()
    except (DatasetError, OSError) as error:
        return None, [Finding(str(image.path), "", "broken_image", str(error).removeprefix(f"{image.path}: "))]
    size_px = pixels.shape[1], pixels.shape[0]
    findings = []
    if image.size_px is not None and image.size_px != size_px:
        told, got = ("x".join(map(str, size)) for size in (image.size_px, size_px))
        what = f"the label was made for {told} px, the image {image.path.name} has {got}"
        findings.append(Finding(str(image.label or image.path), "", "size_mismatch", what))
    else:
        findings += _outside(image, size_px)
    return Look(split, replace(image, size_px=size_px), digest, perceptual_hash(pixels, pixel_format)), findings


def _outside(image: LabelledImage, size_px: tuple[int, int]) -> Iterator[Finding]:
    places = image.places or tuple(f"box {number}" for number in range(1, len(image.boxes) + 1))
    for (x1, y1, x2, y2), at in zip(image.boxes.tolist(), places, strict=True):
        beyond = max(-x1, -y1, x2 - size_px[0], y2 - size_px[1])
        if beyond > _TOLERANCE_PX:
            what = (
                f"expected a box inside {size_px[0]}x{size_px[1]} px, got {x1:g} {y1:g} {x2:g} {y2:g} "
                f"({image.path.name})"
            )
            yield Finding(str(image.label or image.path), at, "box_outside", what)


def _check_files(folder: Path, datasets: Sequence[Dataset], provenance: Provenance) -> Iterator[Finding]:
    """Find images without labels, but for captured ones, and YOLO's label files without images."""
    file_format = datasets[0].file_format
    images = [image for dataset in datasets for image in dataset.images]
    if file_format == "yolo":
        for image in images:
            if image.label is None:
                yield Finding(str(image.path), "", "image_without_label", "no label file: it counts as an OK part")
    if not folder.is_dir() or file_format == "masks":  # a mask is an image too
        return
    known = {image.path.resolve() for image in images}
    for path in pictures(folder):
        if path.resolve() not in known and provenance.find(path) is None:
            yield Finding(str(path), "", "image_without_label", "no label, or in no split: it isn't used")
    if file_format == "yolo":
        used = {image.label.resolve() for image in images if image.label is not None}
        lists = {*NAME_LISTS, *(f"{split}.txt" for split in READERS["yolo"].splits(folder))}
        for path in sorted(folder.rglob("*.txt")):
            if path.name not in lists and path.resolve() not in used and _is_label(path):
                yield Finding(str(path), "", "label_without_image", f"expected an image {path.stem}.*, got none")


def _is_label(path: Path) -> bool:
    """Whether a text may be a YOLO label: empty, or its first row begins with a class id and has five columns."""
    row = path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].split()
    return not row or (row[0].isdecimal() and len(row) == 5)
