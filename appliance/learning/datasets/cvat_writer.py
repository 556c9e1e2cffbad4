"""CVAT's XML 1.1 for images: `annotations.xml` beside `images/`; corners with two decimals as CVAT dumps them.

A corner that two decimals can't say gets as many as it needs; CVAT reads any.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from appliance.learning.datasets.cvat import DIFFICULT
from appliance.learning.datasets.writer import Output, OutputImage, Writer, write_text


def _write(output: Output) -> list[str]:
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    _append_labels(root, output.class_names)
    for number, image in enumerate(output.images):
        _append_image(root, number, image, output)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    write_text(output.folder / "annotations.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
    return []


def _append_labels(root: Element, class_names: tuple[str, ...]) -> None:
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in class_names:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "type").text = "rectangle"
        attribute = SubElement(SubElement(label, "attributes"), "attribute")
        for key, text in (
            ("name", DIFFICULT),
            ("mutable", "False"),
            ("input_type", "checkbox"),
            ("default_value", "false"),
            ("values", "false"),
        ):
            SubElement(attribute, key).text = text


def _append_image(root: Element, number: int, image: OutputImage, output: Output) -> None:
    width, height = image.size_px
    element = SubElement(root, "image", id=str(number), name=output.image_name(image, "images"))
    if image.split:
        element.set("subset", image.split)
    element.set("width", str(width))
    element.set("height", str(height))
    for box, class_id, is_ignored in image.rows():
        corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(_decimal, box), strict=True))
        names = {"label": output.class_names[class_id], "source": "manual", "occluded": "0"}
        row = SubElement(element, "box", {**names, **corners, "z_order": "0"})
        SubElement(row, "attribute", name=DIFFICULT).text = "true" if is_ignored else "false"


def _decimal(side: float) -> str:
    text = f"{side:.2f}"
    return text if np.float32(text) == np.float32(side) else repr(side)


WRITER = Writer("cvat", "images", carries_difficult=True, carries_parts=False, write=_write)
