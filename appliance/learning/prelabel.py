"""Let a model label new images, so that a person only corrects: VOC XML that labelImg opens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError
from appliance.learning.datasets.class_lock import ClassLock
from appliance.learning.datasets.convert import Conversion, ImagesMode, Progress, convert
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.datasets.files import image_files
from appliance.learning.evaluation.detecting import detect_all
from appliance.modelling import Detections
from appliance.modelling.detector import Detector

SCORES_FILE = "prelabels.json"


def prelabel(
    detector: Detector,
    images: Path,
    folder: Path,
    *,
    score: float | None = None,
    images_mode: ImagesMode = "copy",
    lock: ClassLock | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write what a model finds in a folder of images as a set in VOC XML.

    Each file says in <database> which model wrote it; labelImg replaces that when a person saves the file, and so a
    file that nobody looked at can be told. `prelabels.json` keeps scores and exact boxes.

    Args:
        score: Least score of a box; default: the model's own threshold.
        folder, images_mode, lock: As in `convert`; the classes have the model's ids where no lock says otherwise.
    Raises:
        DatasetError: No images, one can't be read, or the set can't be written.
        ModelError: The model failed.
    """
    paths = image_files(images) if images.is_dir() else []
    if not paths:
        raise DatasetError(f"{images}: expected a folder of images, got none there")
    bundle = detector.bundle
    least = bundle.thresholds.score if score is None else score
    unlabelled = [Labels.empty().image(path, bundle.class_names) for path in paths]
    found, sizes = detect_all(detector, unlabelled, least, progress)
    labelled = tuple(
        _labelled(image.path, detections, bundle.class_names, size_px)
        for image, detections, size_px in zip(unlabelled, found, sizes, strict=True)
    )
    scores = {
        "model": bundle.name,
        "contract_sha256": bundle.contract_sha256,
        "score": least,
        "images": [_document(path, one, bundle.class_names) for path, one in zip(paths, found, strict=True)],
    }
    return convert(
        [Dataset(images, "prelabelled", None, bundle.class_names, labelled)],
        "voc",
        folder,
        images=images_mode,
        lock=lock,
        made_by=f"{bundle.name} {bundle.contract_sha256[:12]} at score {least:g}",
        beside={SCORES_FILE: json.dumps(scores, ensure_ascii=False, indent=1) + "\n"},
    )


def _labelled(path: Path, found: Detections, names: Sequence[str], size_px: tuple[int, int]) -> LabelledImage:
    truth = Labels.empty()
    for (x1, y1, x2, y2), class_id in zip(found.boxes_in_image.tolist(), found.class_ids.tolist(), strict=True):
        truth.add((x1, y1, x2, y2), names[class_id])
    return truth.image(path, names, size_px=size_px)


def _document(path: Path, found: Detections, names: Sequence[str]) -> dict[str, Any]:
    rows = zip(found.boxes_in_image.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
    boxes = [
        {"class_name": names[class_id], "score": round(score, 6), "box_px": [round(side, 3) for side in box]}
        for box, score, class_id in rows
    ]
    return {"image": str(path), "boxes": boxes}
