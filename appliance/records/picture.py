"""Where a result's images are now, or why they are not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.clock import rfc3339
from appliance.records.results import Results

_WHY = {
    "no_frame": "the camera delivered none",
    "not_leased": "the frame was gone before the recorder had it",
    "recorder_down": "the recorder was down",
    "shelf_full": "too many frames waited for their verdicts",
    "too_old": "its verdict came too late",
    "queue_full": "too many images waited to be encoded",
    "encoding_failed": "it could not be encoded",
    "disk_full": "the disk was full",
    "write_failed": "the disk failed",
}


@dataclass(frozen=True)
class Picture:
    """One image of a result; `path` is None where there is none, and `missing_because` says why."""

    camera: str
    view: str
    path: Path | None
    thumbnail: Path | None
    missing_because: str | None


def pictures(record: Mapping[str, Any], results: Results, images_dir: Path) -> list[Picture]:
    """Find a result's images, one entry a view; none when no image of it was wanted."""
    image = record.get("image") or {}
    stored = [_stored(view, results, images_dir) for view in image.get("views", ())]
    missing = [
        Picture(each["camera"], each["view"], None, None, f"never stored: {_WHY.get(each['why'], each['why'])}")
        for each in image.get("missing", ())
    ]
    return stored + missing


def _stored(view: Mapping[str, Any], results: Results, images_dir: Path) -> Picture:
    path = images_dir / view["path"]
    thumbnail = images_dir / view["thumbnail"] if view.get("thumbnail") else None
    if path.is_file():
        has_thumbnail = thumbnail is not None and thumbnail.is_file()
        return Picture(view["camera"], view["view"], path, thumbnail if has_thumbnail else None, None)
    evicted_us = results.evicted_us(str(Path(view["path"]).parent))
    if evicted_us is None:
        because = f"{path} is gone, and not by retention; was it moved or deleted by hand?"
    else:
        because = f"removed by retention, last at {rfc3339(evicted_us * 1000)}: the disk was filling up"
    return Picture(view["camera"], view["view"], None, None, because)
