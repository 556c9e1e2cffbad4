"""Judges the stored pictures: each one that a record names is there, whole, and shows the record's part."""

import hashlib
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from appliance.testing.faults.evidence import Evidence, Judgement

KEPT = "a picture that a record names is there and whole"
NO_ORPHAN = "no picture is left that no record names"
RIGHT_PART = "a picture shows the part it is recorded for"
_ON_ITS_WAY_S = 5.0  # a picture is stored before its row, and rows overtake each other
_NO_IMAGE: dict[str, list[Any]] = {"views": []}


def judge_pictures(evidence: Evidence, folder: Path, judgement: Judgement) -> None:
    """Read every picture that the rows name.

    Args:
        folder: The appliance's image folder.
    """
    pictures = evidence.world.pictures()
    for row in evidence.rows or ():
        if row["kind"] != "inspection" or row["image"] is None:
            continue
        pulse = row["views"][0]["encoder_count"]
        for view in row["image"]["views"]:
            name = f"inspection {row['inspection_id']}: {view['path']}"
            content = _content(folder / view["path"])
            if content is None and evidence.was_disk_full:
                judgement.count("pictures that retention took from a full disk")
                continue
            if content is None or hashlib.sha256(content).hexdigest() != view["sha256"]:
                judgement.breach(KEPT, f"{name}: {'missing' if content is None else 'damaged'}")
                continue
            judgement.count("pictures read")
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            expected = pictures[(pulse or 0) % len(pictures)]
            if pixels is None or (pulse is not None and not np.array_equal(pixels, expected)):
                judgement.breach(RIGHT_PART, f"{name}: not the picture of pulse {pulse}")


def judge_orphans(evidence: Evidence, folder: Path, judgement: Judgement) -> None:
    """Look for pictures of inspections that are recorded without them, and for unfinished files.

    Raises:
        AssertionError: A file's name is not one of ours.
    """
    inspections = [row for row in evidence.rows or () if row["kind"] == "inspection"]
    named = {folder / view["path"] for row in inspections for view in (row["image"] or _NO_IMAGE)["views"]}
    named |= {path.with_suffix(".thumb.jpg") for path in named}
    last = max((row["inspection_id"] for row in inspections), default=0)
    settled = time.time() - _ON_ITS_WAY_S
    for path in folder.rglob("*"):
        is_settled = path.is_file() and path.stat().st_mtime < settled
        if is_settled and path not in named and _inspection_id(path) <= last:
            judgement.breach(NO_ORPHAN, str(path.relative_to(folder)))


def _inspection_id(path: Path) -> int:
    _, number, _ = path.name.split("-", 2)
    return int(number)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
