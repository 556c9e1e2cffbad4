"""Judges the stored pictures: each one that a record names is there, whole, and shows the record's part."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from appliance.testing.faults.evidence import Evidence, Judgement

KEPT = "a picture that a record names is there and whole"
RIGHT_PART = "a picture shows the part it is recorded for"


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


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
