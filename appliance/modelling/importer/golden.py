"""Golden pictures of an imported model: kept with what it finds in them, so that the gate can compare later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from appliance.errors import ModelError
from appliance.modelling.bundle import GOLDEN_FILE, ModelBundle
from appliance.modelling.detections import Detections
from appliance.modelling.detector import Detector
from appliance.modelling.pixels import Pixels, to_pixel_format


@dataclass(frozen=True)
class GoldenImage:
    """One picture: `pixels` as `Detector.detect` takes them in `pixel_format` (Mono8, Mono16, BGR8)."""

    name: str
    pixels: Pixels
    pixel_format: str


def write_golden(folder: Path, bundle: ModelBundle, images: Sequence[GoldenImage]) -> None:
    """Write the pictures as PNG and what the model finds in them at the bundle's thresholds.

    Raises:
        ModelError: A picture can't be written, or the model fails on it.
    """
    detector = Detector(bundle)
    cases = []
    for index, image in enumerate(images):
        file = f"golden/{index:02d}-{Path(image.name).stem}.png"
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        kept = "Mono8" if bundle.input.pixel_format == "Mono8" else "BGR8"
        pixels = to_pixel_format(image.pixels, image.pixel_format, kept)
        if not cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
            raise ModelError(f"golden image {path} can't be written")
        (found,) = detector.detect([pixels], pixel_format=kept)
        cases.append(_case(file, found, bundle))
    (folder / GOLDEN_FILE).write_text(json.dumps({"cases": cases}, indent=1) + "\n", encoding="utf-8")


def _case(file: str, found: Detections, bundle: ModelBundle) -> dict[str, Any]:
    detections = [
        {
            "class_name": bundle.class_names[class_id],
            "score": round(float(score), 4),
            "box_px": [round(float(value), 2) for value in box],
        }
        for box, score, class_id in zip(found.boxes_in_image, found.scores, found.class_ids, strict=True)
    ]
    case = {"file": file, "verdict": "NG" if detections else "OK", "detections": detections}
    return case if found.image_score is None else {**case, "image_score": round(found.image_score, 4)}
