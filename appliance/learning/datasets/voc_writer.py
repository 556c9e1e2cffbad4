"""Pascal VOC XML, byte by byte as labelImg writes it, except that a corner at 0 stays 0.

labelImg lifts a 0 to 1 when it saves; that would move boxes that nobody touched. Boxes are whole px.
`predefined_classes.txt` keeps the order of the classes: `labelImg FOLDER FOLDER/predefined_classes.txt`.
Source: labelImg 1.8.6, libs/pascal_voc_io.py and libs/labelFile.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from appliance.learning.datasets.voc import PRELABELLED
from appliance.learning.datasets.writer import Box, Output, OutputImage, Writer, write_text

CLASS_LIST = "predefined_classes.txt"


def _write(output: Output) -> list[str]:
    rounded = 0
    for image in output.images:
        rounded += sum(tuple(map(float, whole_px(box))) != box for box, _, _ in image.rows())
        text = annotation(image, output.class_names, output.made_by)
        write_text(output.folder / (image.split or "") / f"{image.stem}.xml", text)
    write_text(output.folder / CLASS_LIST, class_list(output.class_names))
    return [f"{rounded} boxes were rounded to whole px, as labelImg has them"] if rounded else []


def annotation(image: OutputImage, class_names: Sequence[str], made_by: str | None) -> str:
    """Write the label file of one image; `made_by` is what a pre-labelling model calls itself."""
    root = _head(image, made_by)
    for box, class_id, is_ignored in image.rows():
        _append(root, whole_px(box), class_names[class_id], image.size_px, is_difficult=is_ignored)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True) + "\n"


def class_list(class_names: Sequence[str]) -> str:
    """Write the file from which labelImg takes its classes, in this order."""
    return "".join(f"{name}\n" for name in class_names)


def whole_px(box: Box) -> tuple[int, int, int, int]:
    """Round to the nearest px; a box thinner than one keeps one."""
    x1, x2 = _whole(box[0], box[2])
    y1, y2 = _whole(box[1], box[3])
    return x1, y1, x2, y2


def _whole(start: float, end: float) -> tuple[int, int]:
    first, last = math.floor(start + 0.5), math.floor(end + 0.5)
    if last > first:
        return first, last
    return math.floor(start), math.floor(start) + 1


def _head(image: OutputImage, made_by: str | None) -> Element:
    root = Element("annotation")
    SubElement(root, "folder").text = image.file.parent.name
    SubElement(root, "filename").text = image.file.name
    SubElement(root, "path").text = str(image.file)
    database = "Unknown" if made_by is None else PRELABELLED + made_by
    SubElement(SubElement(root, "source"), "database").text = database
    size = SubElement(root, "size")
    for name, number in (("width", image.size_px[0]), ("height", image.size_px[1]), ("depth", image.channels)):
        SubElement(size, name).text = str(number)
    SubElement(root, "segmented").text = "0"
    return root


def _append(
    root: Element, box: tuple[int, int, int, int], name: str, size_px: tuple[int, int], *, is_difficult: bool
) -> None:
    x1, y1, x2, y2 = box
    is_truncated = min(x1, y1) <= 1 or x2 == size_px[0] or y2 == size_px[1]  # labelImg asks for 1, its least corner
    row = SubElement(root, "object")
    SubElement(row, "name").text = name
    SubElement(row, "pose").text = "Unspecified"
    SubElement(row, "truncated").text = str(int(is_truncated))
    SubElement(row, "difficult").text = str(int(is_difficult))
    corners = SubElement(row, "bndbox")
    for corner, number in zip(("xmin", "ymin", "xmax", "ymax"), (x1, y1, x2, y2), strict=True):
        SubElement(corners, corner).text = str(number)


WRITER = Writer("voc", "", carries_difficult=True, carries_parts=False, write=_write)
