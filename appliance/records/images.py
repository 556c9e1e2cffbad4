"""Where pictures are kept: the full frame without loss, and a small annotated one for people.

<state_dir>/images/<ok|reject>/<YYYYMMDD>/<HH>/<ledger_epoch>-<inspection_id>-<camera>.<view>.<png|pgm|ppm>
                                               ….thumb.jpg      day and hour of exposure, UTC
                                               ….tmp            being written, or left by a killed recorder
"""

import contextlib
import errno
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from appliance.messages import FrameGeometry
from appliance.records.absence import Absence
from appliance.records.durable import DurableFolder
from appliance.records.image_format import ImageFormat, Parts, encode, identify, suffixes
from appliance.records.image_plan import ImageJob, ImagePlan
from appliance.records.thumbnail import draw_thumbnail

log = logging.getLogger(__name__)

THUMBNAIL_SUFFIX = "thumb.jpg"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class StoredImage:
    """A durable image file. Paths are relative to the images' root, with slashes."""

    path: str
    format: str
    width: int
    height: int
    pixel_format: str
    bytes: int
    sha256: str
    thumbnail: str | None


@dataclass(frozen=True)
class ImageResult:
    """What became of a planned picture: either stored, or missing and why."""

    plan: ImagePlan
    stored: StoredImage | None = None
    why: Absence | None = None


def image_field(results: Iterable[ImageResult]) -> dict[str, list[dict[str, Any]]]:
    """Write a record's `image`: each view stands in `views` or in `missing`; views of one frame share its file."""
    field: dict[str, list[dict[str, Any]]] = {"views": [], "missing": []}
    for result in results:
        for view in result.plan.views:
            name = {"camera": result.plan.camera, "view": view}
            if result.stored is not None:
                field["views"].append(name | vars(result.stored))
            else:
                field["missing"].append(name | {"why": result.why})
    return field


class ImageStore:
    """Writes pictures and finds them again. Any thread.

    Args:
        root: `state_dir/images`.
        thumbnail_px: Longer side of the thumbnail's picture.
    Raises:
        OSError: The directory can't be made.
    """

    def __init__(self, root: Path, *, image_format: ImageFormat, thumbnail_px: int) -> None:
        self.root = root
        self._folder = DurableFolder(root)
        self._format = image_format
        self._thumbnail_px = thumbnail_px

    def write(self, job: ImageJob) -> ImageResult:
        """Store a picture; it is durable on return. Never raises: a failure is a result, and leaves no file."""
        try:
            return ImageResult(job.plan, self._write(job))
        except OSError as error:
            self._remove(job.plan)
            log.error("image %s: not written: %s", job.plan.stem, error)  # noqa: TRY400 (a disk's state, not a bug)
            return ImageResult(job.plan, why=Absence.DISK_FULL if error.errno in _FULL else Absence.WRITE_FAILED)
        except (cv2.error, ValueError, MemoryError) as error:
            self._remove(job.plan)
            log.error("image %s: not encoded: %s", job.plan.stem, error)  # noqa: TRY400 (the message says it all)
            return ImageResult(job.plan, why=Absence.ENCODING_FAILED)

    def find(self, plan: ImagePlan) -> StoredImage | None:
        """Find what an earlier recorder stored for the same plan, before it could commit the record.

        Returns:
            None when there is no such file, or it is truncated or damaged: what is left of it is removed then.
        """
        is_readable = True
        for suffix in suffixes(self._format):
            path = f"{plan.stem}.{suffix}"
            try:
                content = (self.root / path).read_bytes()
                geometry = identify(content)
                if geometry is not None:
                    self._folder.ensure((self.root / path).parent)
                    self._folder.settle((self.root / path).parent)  # its writer may have been killed before that
                    return _reference(path, geometry, (content,), self._find_thumbnail(plan))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    log.error("image %s: not readable: %s", path, error)  # noqa: TRY400 (a disk's state, not a bug)
                    is_readable = False
        if is_readable:  # the record will say that it is missing: a thumbnail alone would stay for ever
            self._remove(plan)
        return None

    def _write(self, job: ImageJob) -> StoredImage:
        encoded = encode(job.pixels, job.pixel_format, self._format)
        thumbnail = self._write_thumbnail(job)  # first: an image that is found has its thumbnail
        path = f"{job.plan.stem}.{encoded.suffix}"
        self._folder.write(self.root / path, encoded.parts)
        self._folder.settle((self.root / path).parent)
        height, width = job.pixels.shape[:2]
        return _reference(path, FrameGeometry(width, height, job.pixel_format), encoded.parts, thumbnail)

    def _write_thumbnail(self, job: ImageJob) -> str | None:
        try:
            jpeg = draw_thumbnail(job, self._thumbnail_px)
        except (cv2.error, ValueError, OverflowError) as error:  # the picture itself matters more
            log.warning("image %s: no thumbnail: %s", job.plan.stem, error)
            return None
        path = f"{job.plan.stem}.{THUMBNAIL_SUFFIX}"
        self._folder.write(self.root / path, (jpeg,))
        return path

    def _find_thumbnail(self, plan: ImagePlan) -> str | None:
        path = f"{plan.stem}.{THUMBNAIL_SUFFIX}"
        return path if (self.root / path).is_file() else None

    def _remove(self, plan: ImagePlan) -> None:
        for suffix in (*suffixes(self._format), THUMBNAIL_SUFFIX):
            with contextlib.suppress(OSError):
                (self.root / f"{plan.stem}.{suffix}").unlink(missing_ok=True)


def _reference(path: str, geometry: FrameGeometry, parts: Parts, thumbnail: str | None) -> StoredImage:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return StoredImage(
        path=path,
        format=path.rpartition(".")[2],
        width=geometry.width,
        height=geometry.height,
        pixel_format=geometry.pixel_format,
        bytes=sum(len(part) for part in parts),
        sha256=digest.hexdigest(),
        thumbnail=thumbnail,
    )
