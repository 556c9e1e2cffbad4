"""Label Studio's JSON, to be imported as tasks with annotations; `labeling_interface.xml` is the project's interface.

Images are named as its local file storage serves them: `/data/local-files/?d=<path>`, from
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT on: the set's own folder, or `/` where images were left in their places.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from appliance.learning.datasets.labelstudio import DIFFICULT
from appliance.learning.datasets.writer import Box, Output, OutputImage, Writer, write_text

_ALL = "tasks"


def _write(output: Output) -> list[str]:
    number = 0
    for split in output.splits:
        tasks = []
        for image in output.of_split(split):
            number += 1
            tasks.append(_task(number, image, output))
        text = json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"
        write_text(output.folder / f"{split or _ALL}.json", text)
    write_text(output.folder / "labeling_interface.xml", _interface(output.class_names))
    return []


def _task(number: int, image: OutputImage, output: Output) -> dict[str, Any]:
    name = output.image_name(image, "").lstrip("/")
    data = {"image": f"/data/local-files/?d={quote(name)}"}
    if image.truth.has_part:
        data["part_id"] = image.truth.part
    result = [
        _region(f"{number}-{place}", box, output.class_names[class_id], image.size_px, is_difficult=is_ignored)
        for place, (box, class_id, is_ignored) in enumerate(image.rows())
    ]
    return {"id": number, "data": data, "annotations": [{"id": number, "result": result}]}


def _region(name: str, box: Box, label: str, size_px: tuple[int, int], *, is_difficult: bool) -> dict[str, Any]:
    (x1, y1, x2, y2), (width_px, height_px) = box, size_px
    region = {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width_px,
        "original_height": height_px,
        "image_rotation": 0,
        "value": {
            "x": x1 / width_px * 100,
            "y": y1 / height_px * 100,
            "width": (x2 - x1) / width_px * 100,
            "height": (y2 - y1) / height_px * 100,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }
    return {**region, "meta": {"text": [DIFFICULT]}} if is_difficult else region


def _interface(class_names: tuple[str, ...]) -> str:
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    labels = SubElement(view, "RectangleLabels", name="label", toName="image")
    for name in class_names:
        SubElement(labels, "Label", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


WRITER = Writer("labelstudio", "images", carries_difficult=True, carries_parts=True, write=_write)
