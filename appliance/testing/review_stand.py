"""A box with a journal and pictures to review, without a camera: just what `appliance review` reads."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from appliance.records.journal import Journal
from appliance.testing.journal_records import LEDGER_EPOCH, inspection

START = datetime(2026, 11, 24, 6, tzinfo=UTC)
"""A Tuesday of ISO week 2026-W48."""
CLASSES = ("burr", "excess", "crack")
_CONFIG = """
line = "line1"
station = "station1"
recipe = "recipe.toml"
models_dir = "models"
state_dir = "state"
[[cameras]]
name = "cam0"
source = {kind = "folder", images = "."}
"""


def defect(class_name: str = "burr", score: float = 0.9, box_px: Sequence[float] = (10, 12, 30, 28)) -> dict[str, Any]:
    """A defect of the whole view of cam0."""
    place = {"camera": "cam0", "view": "whole", "rule_id": f"tabs/{class_name}"}
    return {**place, "class_name": class_name, "score": score, "box_px": list(box_px)}


def make_box(folder: Path, parts: Sequence[Mapping[str, Any]]) -> str:
    """Write a configuration, a journal of these parts and their pictures.

    Args:
        parts: Each has `verdict`, and may have `picture` (False: none), `camera`, `recipe`, `model`, `days` after
            START, and any field of the record. Part n has seq n, from 1 on.
    Returns:
        The configuration's path.
    """
    (folder / "appliance.toml").write_text(_CONFIG)
    journal = Journal.open(folder / "state/journal")
    journal.append([_record(folder / "state/images", number, part) for number, part in enumerate(parts, start=1)])
    journal.close()
    return str(folder / "appliance.toml")


def _record(images: Path, number: int, part: Mapping[str, Any]) -> dict[str, Any]:
    own = {**part}
    verdict, camera = own.pop("verdict"), own.pop("camera", "cam0")
    recipe, model, days = own.pop("recipe", "tabs"), own.pop("model", "tabs-fine"), own.pop("days", 0)
    image = _picture(images, number, camera, verdict) if own.pop("picture", True) else None
    if verdict == "NG":
        own.setdefault("defects", [defect()])
    at = START + timedelta(days=days, seconds=number)
    return inspection(
        number,
        camera=camera,
        verdict=verdict,
        captured_at=f"{at:%Y-%m-%dT%H:%M:%S}.000000Z",
        recipe={"name": recipe, "version": 1, "sha256": "0" * 64},
        model={"name": model, "sha256": "ab" * 32},
        image=image,
        **{"near_misses": [], "is_simulated": False, **own},
    )


def _picture(images: Path, number: int, camera: str, verdict: str) -> dict[str, Any]:
    path = f"{'ok' if verdict == 'OK' else 'reject'}/20261124/06/{LEDGER_EPOCH}-{number}-{camera}.whole.png"
    pixels = np.random.default_rng(number).integers(90, 110, (48, 64), np.uint8)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    (images / path).parent.mkdir(parents=True, exist_ok=True)
    (images / path).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    view = {"camera": camera, "view": "whole", "path": path, "format": "png", "width": 64, "height": 48}
    return {"views": [{**view, "pixel_format": "Mono8", "sha256": digest, "thumbnail": None}], "missing": []}
