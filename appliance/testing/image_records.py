"""Records with just what pictures need of them, and frames of every pixel format."""

from typing import Any

import numpy as np

from appliance.messages import FrameGeometry
from appliance.records.image_plan import ImageJob, plan_images
from appliance.ring import Pixels

EPOCH = "0123456789abcdef"


def picture_record(inspection_id: int = 1, verdict: str = "NG", **fields: Any) -> dict[str, Any]:
    """Make a record of one view, the whole frame of camera cam0; its trigger has the inspection's number."""
    view = {"camera": "cam0", "view": "whole", "trigger_id": inspection_id, "region_px": (0, 0, 64, 48)}
    return {
        "kind": "inspection",
        "ledger_epoch": EPOCH,
        "inspection_id": inspection_id,
        "verdict": verdict,
        "reason": None,
        "captured_at": "2026-11-22T21:30:00.123456Z",
        "views": [view],
        "defects": [],
        **fields,
    }


def defect(view: str, box_px: tuple[float, float, float, float], **fields: Any) -> dict[str, Any]:
    """Make a record's defect."""
    named = {"class_name": "burr", "defect_code": "D7", "score": 0.87}
    return {"camera": "cam0", "view": view, "box_px": box_px, **named, **fields}


def noise(pixel_format: str, *, width: int = 64, height: int = 48, seed: int = 1) -> Pixels:
    """Make a frame in which every pixel differs, as a frame lease gives it."""
    random = np.random.default_rng(seed)
    payload = random.integers(0, 256, FrameGeometry(width, height, pixel_format).payload_bytes, np.uint8)
    if pixel_format == "Mono16":
        return payload.view("<u2").reshape(height, width)
    return payload.reshape((height, width, 3) if pixel_format == "RGB8" else (height, width))


def picture_job(record: dict[str, Any], pixel_format: str = "Mono8", **options: int) -> ImageJob:
    """Plan a record's first picture, of noise."""
    return ImageJob(plan_images(record)[0], noise(pixel_format, **options), pixel_format)
