"""The next labelling batch: pictures of wrongly judged parts with the model's boxes, for labelImg."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from appliance.errors import ResultMissing, ReviewError
from appliance.learning.datasets.class_lock import ClassLock
from appliance.learning.datasets.convert import convert
from appliance.learning.datasets.dataset import Dataset, LabelledImage, Labels
from appliance.learning.review.judgement import Judgement
from appliance.learning.review.parts import PartViewer, ShownPart

MANIFEST = "review.json"


def export_wrong(
    judgements: Sequence[Judgement],
    viewer: PartViewer,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the pictures of judged parts as a set in VOC XML, whole or not at all.

    A rejected part has the boxes that made it NG: a person removes them if it is good. An escape has what the model saw
    but didn't count, if anything: a person draws what it missed. Each label says that a model wrote it, until somebody
    saves it; so does `dataset check`. `review.json` says of each picture who said what, and where it is from.

    Returns:
        Figures for JSON; `notes` tells which parts are left out, and why.
    Raises:
        ReviewError: There is nothing to write.
        DatasetError: As `convert`.
    """
    images: list[LabelledImage] = []
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    names: dict[str, None] = {}
    for judgement in judgements:
        part = _still_there(judgement, viewer, notes)
        if part is None:
            continue
        names.update(dict.fromkeys(viewer.classes(part.record)))
        for path in part.files():
            if stored := _hash_differs(part, path):
                notes.append(f"part {part.seq}: {path} isn't what was recorded (sha256 {stored[:12]}…): left out")
                continue
            boxes = part.boxes(path, "near_misses" if part.verdict == "OK" else "defects")
            names.update(dict.fromkeys(box["class_name"] for box in boxes))
            images.append(_labelled(path, boxes, tuple(names)))
            rows.append(_manifest_row(judgement, part, path, boxes))
    if not images:
        told = f": {notes[0]}" if notes else ""
        raise ReviewError(f"nothing to export: no wrongly judged part with a picture that is still there{told}")
    written = convert(
        [Dataset(folder, "reviewed", None, tuple(names), tuple(images))],
        "voc",
        folder,
        lock=ClassLock(),
        made_by=f"review of {', '.join(sorted({judgement.part.model for judgement in judgements}))}",
        beside={MANIFEST: json.dumps({"pictures": rows}, ensure_ascii=False, indent=1) + "\n"},
        progress=progress,
    )
    parts = len({(row["epoch"], row["seq"]) for row in rows})
    return {**written.figures(), "parts": parts, "notes": [*notes, *written.notes]}


def _still_there(judgement: Judgement, viewer: PartViewer, notes: list[str]) -> ShownPart | None:
    seq = judgement.part.seq
    if judgement.part.epoch != viewer.results.journal.epoch:
        notes.append(f"part {seq} of journal {judgement.part.epoch}: another journal's, left out")
        return None
    try:
        part = viewer.show(seq)
    except ResultMissing as error:
        notes.append(f"part {seq}: {error}")
        return None
    if not part.pictures:
        notes.append(f"part {seq}: its picture is gone, or never was: left out")
        return None
    return part


def _hash_differs(part: ShownPart, path: Path) -> str | None:
    """The recorded hash, where the file doesn't have it."""
    for view in part.record["image"]["views"]:
        if path.as_posix().endswith(f"/{view['path']}"):
            is_same = hashlib.sha256(path.read_bytes()).hexdigest() == view["sha256"]
            return None if is_same else str(view["sha256"])
    return None


def _labelled(path: Path, boxes: Sequence[Any], names: tuple[str, ...]) -> LabelledImage:
    labels = Labels.empty()
    for box in boxes:
        x1, y1, x2, y2 = map(float, box["box_px"])
        labels.add((x1, y1, x2, y2), box["class_name"])
    return labels.image(path, names)


def _manifest_row(judgement: Judgement, part: ShownPart, path: Path, boxes: Sequence[Any]) -> dict[str, Any]:
    record = part.record
    keys = ("seq", "epoch", "ledger_epoch", "inspection_id", "part_id", "captured_at", "verdict", "reason")
    return {
        "image": path.name,
        "answer": judgement.answer,
        "class_name": judgement.class_name,
        "note": judgement.note,
        "by": judgement.by,
        "at": judgement.at.isoformat(),
        **{key: record.get(key) for key in keys},
        "cameras": list(judgement.part.cameras),
        "recipe": record.get("recipe"),
        "model": record.get("model"),
        "is_simulated": record.get("is_simulated"),
        "boxes": [{key: box.get(key) for key in ("class_name", "score", "box_px", "rule_id")} for box in boxes],
    }
