"""COCO json: `annotations/instances_<split>.json` beside `images/<split>`. Category ids are class ids from 1 on."""

from __future__ import annotations

import json
from typing import Any

from appliance.learning.datasets.writer import Output, OutputImage, Writer, write_text


def _write(output: Output) -> list[str]:
    categories = [{"id": number, "name": name} for number, name in enumerate(output.class_names, start=1)]
    for split in output.splits:
        chosen = output.of_split(split)
        folder = f"images/{split}" if split else "images"
        content = {
            "images": [_image(number, one, output.image_name(one, folder)) for number, one in enumerate(chosen, 1)],
            "annotations": _annotations(chosen),
            "categories": categories,
        }
        name = f"instances_{split}.json" if split else "instances.json"
        write_text(output.folder / "annotations" / name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return []


def _image(number: int, image: OutputImage, name: str) -> dict[str, Any]:
    width, height = image.size_px
    row = {"id": number, "file_name": name, "width": width, "height": height}
    return {**row, "part_id": image.truth.part} if image.truth.has_part else row


def _annotations(images: tuple[OutputImage, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        for (x1, y1, x2, y2), class_id, is_ignored in image.rows():
            row = {"id": len(rows) + 1, "image_id": number, "category_id": class_id + 1}
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            rows.append({**row, **box, "segmentation": [], "iscrowd": int(is_ignored)})
    return rows


WRITER = Writer("coco", "images", carries_difficult=True, carries_parts=True, write=_write)
