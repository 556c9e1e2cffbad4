"""Remove at the start what a killed recorder left among the images: half-written files, pictures without a row."""

import logging
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.records.durable import TEMPORARY_SUFFIX
from appliance.records.image_format import suffixes
from appliance.records.images import THUMBNAIL_SUFFIX

log = logging.getLogger(__name__)

_OURS = tuple(f".{suffix}" for suffix in (*suffixes("png"), *suffixes("raw"), THUMBNAIL_SUFFIX))


@dataclass
class Swept:
    """What a sweep removed, files each; `failed` could not be removed."""

    temporaries: int = 0
    orphans: int = 0
    failed: int = 0


def stem_of(path: str) -> str:
    """Give the plan's stem of an image's or a thumbnail's path, relative to the images' root."""
    return next((path.removesuffix(suffix) for suffix in _OURS if path.endswith(suffix)), path)


def sweep(root: Path, known: Container[str], newer_than: datetime) -> Swept:
    """Remove temporary files and orphans. Before any encoder starts: a file being written is a temporary too.

    Args:
        root: `state_dir/images`.
        known: Stems of all images since `newer_than` that a row or a waiting record tells of.
        newer_than: Aware; hours that ended before it are left alone, so that the work stays bounded.
    """
    swept = Swept()
    for hour in hours(root, newer_than):
        for path in _list(hour, swept):
            if path.name.endswith(TEMPORARY_SUFFIX):
                swept.temporaries += _remove(path, swept)
            elif path.name.endswith(_OURS) and stem_of(path.relative_to(root).as_posix()) not in known:
                swept.orphans += _remove(path, swept)
    if swept != Swept():
        log.info("images: removed %d half-written, %d without a record", swept.temporaries, swept.orphans)
    return swept


def hours(root: Path, newer_than: datetime) -> Iterator[Path]:
    """List the hours' directories, first `ok`, then `reject`, each oldest first, from the hour of `newer_than` on."""
    first = f"{newer_than.astimezone(UTC):%Y%m%d/%H}"
    for kind in ("ok", "reject"):
        for hour in sorted((root / kind).glob("[0-9]*/[0-9]*")):
            if hour.is_dir() and hour.relative_to(root / kind).as_posix() >= first:
                yield hour


def _list(hour: Path, swept: Swept) -> list[Path]:
    try:
        return list(hour.iterdir())
    except OSError as error:
        log.warning("images in %s can't be listed: %s", hour, error.strerror)
        swept.failed += 1
        return []


def _remove(path: Path, swept: Swept) -> bool:
    try:
        path.unlink()
    except OSError as error:
        log.warning("image %s: can't be removed: %s", path, error.strerror)
        swept.failed += 1
        return False
    return True
