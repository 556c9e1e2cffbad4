"""Pascal VOC XML of a rendered part, as labelImg writes it; its <database> says that the part is rendered."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from appliance.learning.tabs.regime import RENDERER_VERSION
from appliance.learning.tabs.scene import RenderedPart


def voc_label(rendered: RenderedPart, folder: str, file_name: str) -> str:
    """Return the XML text: corners in whole px, counted from 0, xmax and ymax exclusive."""
    part = rendered.part
    root = Element("annotation")
    SubElement(root, "folder").text = folder
    SubElement(root, "filename").text = file_name
    database = f"rendered, appliance tabs {RENDERER_VERSION}, regime {part.regime.name}, seed {part.seed}"
    SubElement(SubElement(root, "source"), "database").text = database
    size = SubElement(root, "size")
    height, width = rendered.pixels.shape
    for name, number in (("width", width), ("height", height), ("depth", 1)):
        SubElement(size, name).text = str(number)
    SubElement(root, "segmented").text = "0"
    for truth in rendered.defects:
        row = SubElement(root, "object")
        for name, text in (("name", truth.kind), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            SubElement(row, name).text = text
        corners = SubElement(row, "bndbox")
        for corner, number in zip(("xmin", "ymin", "xmax", "ymax"), truth.region, strict=True):
            SubElement(corners, corner).text = str(number)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"
