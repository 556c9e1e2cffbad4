"""A small captured set whose every byte is known: pictures, lines and pre-labels as a capture writes them."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.config import load_recipe
from appliance.learning.capture.case import Case, Frame
from appliance.learning.capture.folder import CapturedFolder, Outcome
from appliance.learning.capture.prelabels import prelabel_text
from appliance.learning.capture.provenance import describe
from appliance.messages import Trigger, TriggerFlag

CLASSES = ("毛刺", "余料", "open")
Box = tuple[str, float, tuple[float, float, float, float]]
"""Class, score, corners in px."""
_RECIPE = Path(__file__).parents[2] / "examples/recipes/deeppcb.toml"


def open_folder(path: Path, **options: Any) -> CapturedFolder:
    """Open a captured folder without tight limits."""
    limits: dict[str, Any] = {"limit_bytes": 10**9, "min_free_bytes": 0, "class_names": CLASSES}
    return CapturedFolder(path, **(limits | options))


def frame(number: int, pixels: NDArray[np.uint8], *, is_simulated: bool = True) -> Frame:
    """Make a frame of camera cam0."""
    flags = TriggerFlag.SIMULATED if is_simulated else TriggerFlag(0)
    trigger = Trigger(number, 0, frame_id=number, device_timestamp_ns=1000 + number, flags=flags)
    figures = {"mean_grey": 100.0, "sharpness": 5.0}
    return Frame("cam0", trigger, pixels, "Mono8", {"exposure_time_us": 200.0, "gain": 0.0}, figures)


def result(number: int, verdict: str, boxes: Sequence[Box], part_id: str | None = None) -> dict[str, Any]:
    """Make the record of an inspection, as far as a capture looks at it."""
    place = {"camera": "cam0", "view": "whole"}
    found = [place | {"class_name": name, "score": score, "box_px": list(box)} for name, score, box in boxes]
    finding = place | {"verdict": verdict, "reason": None, "detail": None}
    return {
        "ledger_epoch": "0123456789abcdef",
        "inspection_id": 100 + number,
        "part_id": part_id,
        "verdict": verdict,
        "reason": None,
        "model": {"name": "tabs", "sha256": "5" * 64},
        "recipe": {"name": "tabs", "version": 1, "sha256": "6" * 64},
        "views": [place | {"trigger_id": number, "frame_id": number, "region_px": None}],
        "finding": [finding],
        "defects": found,
        "near_misses": [],
    }


def keep(
    folder: CapturedFolder, one: Frame, record: dict[str, Any] | None, *, has_prelabel: bool = True
) -> tuple[Outcome, dict[str, Any]]:
    """Put a picture into a folder as a capture does, but with a fixed time; gives what became of it, and its line."""
    number = one.trigger.trigger_id
    case = Case("cam0", number, 0, one, record)
    row = describe(case, one, [{"reason": "every", "every": 1}])
    row |= {"captured_at": f"2026-01-31T09:30:00.{number:06d}Z", "taken_at": "2026-01-31T09:30:01.000000Z"}
    recipe = load_recipe(_RECIPE)
    outcome = folder.keep(
        one,
        row,
        (lambda path: prelabel_text(case, one, recipe, folder.class_names, path)) if has_prelabel else None,
    )
    return outcome, row


def write_captured_set(path: Path) -> None:
    """Write four pictures of 40x30 px: two defective and an OK part with pre-labels, and one without a result."""
    boxes: dict[int, list[Box]] = {
        1: [("毛刺", 0.9, (3.2, 4.4, 19.8, 11.0)), ("余料", 0.7, (1.0, 1.0, 40.0, 30.0))],
        2: [("毛刺", 0.8, (1.0, 7.0, 9.0, 9.0))],
        3: [],
    }
    with closing(open_folder(path)) as folder:
        for number in range(1, 5):
            pixels = np.random.default_rng(number).integers(0, 255, (6, 8)).astype(np.uint8)
            one = frame(number, np.kron(pixels, np.ones((5, 5), np.uint8)))
            record = result(number, "NG" if boxes[number] else "OK", boxes[number], "P1") if number in boxes else None
            if number == 3 and record is not None:
                record["part_id"] = "P2"
            keep(folder, one, record)
