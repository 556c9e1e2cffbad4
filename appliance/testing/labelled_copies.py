"""Write a data set's labels anew, as the tools of each format do: for tests that all formats mean the same."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from appliance.learning.datasets import Dataset, LabelledImage, image_size

_VOC = """<annotation>
	<folder>images</folder>
	<filename>{name}</filename>
	<path>/home/somebody/elsewhere/{name}</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>{width}</width>
		<height>{height}</height>
		<depth>1</depth>
	</size>
	<segmented>0</segmented>
{objects}</annotation>
"""
_OBJECT = """	<object>
		<name>{name}</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>{difficult}</difficult>
		<bndbox>
			<xmin>{x1:g}</xmin>
			<ymin>{y1:g}</ymin>
			<xmax>{x2:g}</xmax>
			<ymax>{y2:g}</ymax>
		</bndbox>
	</object>
"""


def write_voc(dataset: Dataset, folder: Path) -> Path:
    """Write images and XML files side by side, as labelImg does."""
    for image in dataset.images:
        target = _copy(image, folder)
        width, height = image_size(image.path)
        objects = ""
        for box, class_id, is_ignored in zip(image.boxes, image.class_ids, image.is_ignored, strict=True):
            x1, y1, x2, y2 = map(float, box)
            name = escape(dataset.class_names[class_id])
            objects += _OBJECT.format(name=name, difficult=int(is_ignored), x1=x1, y1=y1, x2=x2, y2=y2)
        text = _VOC.format(name=escape(target.name), width=width, height=height, objects=objects)
        target.with_suffix(".xml").write_text(text, encoding="utf-8")
    return folder


def write_yolo(dataset: Dataset, folder: Path) -> Path:
    """Write `images/test`, `labels/test` and data.yaml, as Ultralytics reads them; empty files for OK images."""
    for image in dataset.images:
        _copy(image, folder / "images/test")
        width, height = image_size(image.path)
        rows = [
            f"{class_id} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
            f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
            for (x1, y1, x2, y2), class_id in zip(image.boxes.tolist(), image.class_ids, strict=True)
        ]
        label = folder / "labels/test" / f"{image.path.stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("".join(rows), encoding="utf-8")
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(dataset.class_names))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/test\ntest: images/test\nnames:\n{names}")
    return folder


def write_coco(dataset: Dataset, folder: Path, *, first_id: int = 7) -> Path:
    """Write `images/` and `annotations/instances_test.json` with category ids that have gaps."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(dataset.images, start=first_id):
        _copy(image, folder / "images")
        width, height = image_size(image.path)
        images.append({"id": number, "file_name": image.path.name, "width": width, "height": height})
        for box, class_id, is_ignored in zip(image.boxes.tolist(), image.class_ids, image.is_ignored, strict=True):
            x1, y1, x2, y2 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(class_id) * 3 + 2,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(is_ignored),
                }
            )
    categories = [{"id": index * 3 + 2, "name": name} for index, name in enumerate(dataset.class_names)]
    content = {"images": images, "annotations": annotations, "categories": categories[::-1]}
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_test.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _copy(image: LabelledImage, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(image.path, folder / image.path.name))
