"""Which pictures an inspection's record wants, and where each one is stored: decided by the record alone.

A recorder that was killed between an image and its row reads the record again, comes to the same plan, and finds the
image where the plan says.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.messages import VerdictWord
from appliance.ring import Pixels

ViewName = tuple[str, str]
"""Camera and view: what names a view within its inspection."""


@dataclass(frozen=True)
class ImagePlan:
    """One picture of one inspection: the full frame of one trigger, with all views that it shows.

    Attributes:
        views: Names of the views, in the record's order; the first one names the file.
        regions_px: The views' regions; None: not known.
        stem: Path under the images' root, without suffix.
        verdict: OK, NG or UNKNOWN.
        caption: Verdict, reason and inspection id, for people.
        defects: As in the record, those of this frame's views.
    """

    camera: str
    trigger_id: int
    views: tuple[str, ...]
    regions_px: tuple[tuple[int, int, int, int] | None, ...]
    stem: str
    verdict: str
    caption: str
    defects: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ImageJob:
    """A plan with its pixels, as a frame lease gives them; borrowed until `ImageEncoder.submit` has copied them."""

    plan: ImagePlan
    pixels: Pixels
    pixel_format: str


def wants_images(record: Mapping[str, Any], ok_image_rate: float) -> bool:
    """Tell whether a record's pictures are kept: of NG and UNKNOWN always, of OK a sample."""
    if record["kind"] != "inspection":
        return False
    is_ok = record["verdict"] == VerdictWord.OK.name
    return not is_ok or sampled(record["ledger_epoch"], record["inspection_id"], ok_image_rate)


def sampled(ledger_epoch: str, inspection_id: int, rate: float) -> bool:
    """Draw a sample of inspections: by their hash, so that whoever asks again gets the same answer."""
    digest = hashlib.blake2b(f"{ledger_epoch}-{inspection_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * 2**64


def plan_images(record: Mapping[str, Any]) -> list[ImagePlan]:
    """Plan the pictures of an inspection: one per camera and trigger, whatever the number of views in it."""
    frames: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for view in record["views"]:
        frames.setdefault((view["camera"], view["trigger_id"]), []).append(view)
    return [_plan(record, camera, trigger_id, views) for (camera, trigger_id), views in frames.items()]


def _plan(record: Mapping[str, Any], camera: str, trigger_id: int, views: Sequence[Mapping[str, Any]]) -> ImagePlan:
    names = tuple(view["view"] for view in views)
    regions = [view["region_px"] for view in views]
    verdict, reason = record["verdict"], record["reason"]
    return ImagePlan(
        camera=camera,
        trigger_id=trigger_id,
        views=names,
        regions_px=tuple(None if region is None else tuple(region) for region in regions),
        stem=_stem(record, camera, names[0]),
        verdict=verdict,
        caption=" ".join(filter(None, (verdict, reason, f"#{record['inspection_id']}"))),
        defects=tuple(defect for defect in record["defects"] if defect["camera"] == camera and defect["view"] in names),
    )


def _stem(record: Mapping[str, Any], camera: str, view: str) -> str:
    captured_at = datetime.fromisoformat(record["captured_at"]).astimezone(UTC)
    kind = "ok" if record["verdict"] == VerdictWord.OK.name else "reject"
    # The dot: names may hold a dash, never a dot, so that no two views share a file.
    return f"{kind}/{captured_at:%Y%m%d/%H}/{record['ledger_epoch']}-{record['inspection_id']}-{camera}.{view}"
