"""The folder that a capture fills, and that a person opens in labelImg. It may be filled in several goes.

<camera>_<time of exposure, UTC>_<trigger id>.png     full resolution, lossless
<same name>.xml                                       with pre-labels: Pascal VOC, to be corrected
capture-manifest.jsonl                                one line a picture, written when the picture is durable
predefined_classes.txt, classes.lock.toml             the classes, in the order of their ids

Killed at any point, a picture is there as a whole or not at all, and a line only with its picture.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError, LabelError
from appliance.learning.capture.case import Frame
from appliance.learning.capture.likeness import ANYTHING, Kind, Likeness, as_text, from_text
from appliance.learning.capture.request import StopReason
from appliance.learning.datasets.captured import MANIFEST, manifest_line, read_manifest
from appliance.learning.datasets.class_lock import LOCK_FILE, ClassLock
from appliance.learning.datasets.files import pictures, read_image
from appliance.learning.datasets.perceptual_hash import Hashes, perceptual_hash
from appliance.learning.datasets.voc_writer import CLASS_LIST, class_list
from appliance.records.disk_space import unused_bytes
from appliance.records.durable import TEMPORARY_SUFFIX, DurableFolder
from appliance.records.image_format import encode

log = logging.getLogger(__name__)

LabelOf = Callable[[Path], str | None]


@dataclass(frozen=True)
class Outcome:
    """What became of a picture.

    Attributes:
        file: Its name; None: it wasn't taken.
        like: The picture that it is a duplicate of.
        stop: The limit that it would have passed.
    """

    file: str | None = None
    like: str | None = None
    stop: StopReason | None = None


class CapturedFolder:
    """Owns the folder while it is open: a second capture into it is refused. One thread at a time.

    Args:
        path: Made if it is missing.
        limit_bytes: Its pictures are never more.
        min_free_bytes: The disk never has less left.
        alike_bits: As `Likeness`.
        class_names: Classes of the model in use; what the folder's lock file has stays in front.
    Attributes:
        bytes: Of its pictures.
        pictures: How many there are.
    Raises:
        DatasetError: It can't be written, its manifest is broken, or another capture fills it.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int,
        min_free_bytes: int,
        alike_bits: int | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        self.path = path
        self._limit_bytes, self._min_free_bytes = limit_bytes, min_free_bytes
        self.likeness = Likeness(alike_bits)
        try:
            self._durable = DurableFolder(path.absolute())
            self._manifest = os.open(path / MANIFEST, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DatasetError(f"{path}: can't be written: {error.strerror}; choose another folder") from error
        try:
            self._claim()
            self.bytes, self.pictures = self._remember()
            self.class_names = self._keep_classes(class_names)
        except OSError as error:
            self.close()
            raise DatasetError(f"{path}: can't be used: {error}") from error
        except BaseException:
            self.close()
            raise

    # -- taking pictures

    def keep(self, frame: Frame, row: Mapping[str, Any], label: LabelOf | None = None) -> Outcome:
        """Take a picture, unless the folder has one like it, or no room.

        Args:
            frame: Its pixels.
            row: As `describe` gives it.
            label: Given the picture's path, writes its label file's text; None, or where it gives None: it gets none.
        Raises:
            DatasetError: The disk failed.
        """
        look = perceptual_hash(frame.pixels, frame.pixel_format)
        kind = kind_of(row)
        if not row["is_free_running"]:
            self.likeness.learn(look)
        limit_bits = 0 if frame.is_requested else self.likeness.limit_bits  # who asked for it shall have it
        if (like := self.likeness.find(kind, look, limit_bits)) is not None:
            return Outcome(like=like[0])
        try:
            return self._write(frame, row, look, kind, label)
        except OSError as error:
            raise DatasetError(
                f"{self.path}: picture not written: {error.strerror}; free space, or check it"
            ) from error

    def _write(self, frame: Frame, row: Mapping[str, Any], look: Hashes, kind: Kind, label: LabelOf | None) -> Outcome:
        parts = encode(frame.pixels, frame.pixel_format, "png").parts
        size = sum(map(len, parts))
        if self.bytes + size > self._limit_bytes:
            return Outcome(stop=StopReason.LIMIT_MB)
        if unused_bytes(self.path) - size < self._min_free_bytes:
            return Outcome(stop=StopReason.DISK)
        path = self._durable.root / f"{_stem(row)}.png"
        if path.exists():
            return Outcome(like=path.name)
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        told = {"file": path.name, "sha256": digest.hexdigest(), "perceptual_hash": as_text(look), "bytes": size}
        try:
            self._store(path, parts, label)
            self._append(f"{manifest_line({**told, **row})}\n".encode())
        except OSError:
            for written in (path, path.with_suffix(".xml")):
                written.unlink(missing_ok=True)  # nobody could tell where it comes from
            raise
        self.likeness.add(kind, path.name, look)
        self.bytes, self.pictures = self.bytes + size, self.pictures + 1
        return Outcome(file=path.name)

    def _store(self, path: Path, parts: Sequence[bytes | memoryview], label: LabelOf | None) -> None:
        self._durable.write(path, parts)
        if label is not None and (text := label(path)) is not None:
            self._durable.write(path.with_suffix(".xml"), (text.encode(),))
        self._durable.settle(path.parent)

    def _append(self, line: bytes) -> None:
        """Append a line, durably; on a full disk the whole of it or nothing."""
        whole = os.fstat(self._manifest).st_size
        if os.write(self._manifest, line) < len(line):
            os.ftruncate(self._manifest, whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._manifest)

    def name_classes(self, names: Sequence[str]) -> None:
        """Make sure that the classes of a pre-label are among the folder's.

        Raises:
            OSError: The files can't be written.
        """
        if not set(names) <= set(self.class_names):
            self.class_names = self._keep_classes(names)

    # -- opening

    def _claim(self) -> None:
        try:
            fcntl.flock(self._manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(f"{self.path}: another capture fills this folder; end it, or choose another") from None
        for half in self.path.glob(f"*{TEMPORARY_SUFFIX}"):  # what a killed capture was writing
            half.unlink(missing_ok=True)
        content = (self.path / MANIFEST).read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            log.warning("%s: its last line was cut off by a kill, and goes", self.path / MANIFEST)
            os.ftruncate(self._manifest, whole)

    def _remember(self) -> tuple[int, int]:
        """Read what the folder has; returns the bytes of its pictures, and how many there are.

        A picture that the manifest has and the folder hasn't was thrown away by a person, and isn't taken again.
        """
        known: set[Path] = set()
        for picture in read_manifest(self.path / MANIFEST):
            known.add(picture.path)
            try:
                look = from_text(picture.row["perceptual_hash"])
                kind, is_part = kind_of(picture.row), not picture.row["is_free_running"]
            except (KeyError, TypeError, ValueError) as error:
                what = f"expected a line that a capture wrote, got {error!r}"
                raise LabelError("broken_manifest", str(self.path / MANIFEST), picture.at, what) from error
            self.likeness.add(kind, picture.path.name, look)
            if is_part:
                self.likeness.learn(look)
        there = pictures(self.path)
        for path in there:
            if path not in known:
                pixels, pixel_format = read_image(path)
                self.likeness.add(ANYTHING, path.name, perceptual_hash(pixels, pixel_format))
        return sum(path.stat().st_size for path in there), len(there)

    def _keep_classes(self, names: Sequence[str]) -> tuple[str, ...]:
        lock = (ClassLock.beside(self.path) or ClassLock()).with_names(names)
        if lock.names:
            lock.write(self.path / LOCK_FILE)
            self._durable.write(self._durable.root / CLASS_LIST, (class_list(lock.names).encode(),))
        return lock.names

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._manifest)


def kind_of(row: Mapping[str, Any]) -> Kind:
    """Tell of what kind a picture is: only pictures of one kind can be duplicates."""
    found = Counter(defect["class_name"] for defect in row["defects"])
    return row["camera"], " ".join([str(row["verdict"]), *(f"{name}*{count}" for name, count in sorted(found.items()))])


def _stem(row: Mapping[str, Any]) -> str:
    moment = datetime.fromisoformat(row["captured_at"])
    return f"{row['camera']}_{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z_{row['trigger_id']}"
