"""YOLO txt as labelImg and Ultralytics write it: six decimals, single spaces, an empty file for an OK part.

`images/<split>` and `labels/<split>` beside data.yaml are for Ultralytics; classes.txt in each folder of labels is
for labelImg, which looks for it there (choose that folder as its save folder).
"""

from __future__ import annotations

import json

from appliance.learning.datasets.writer import Box, Output, OutputImage, Writer, write_text

_ALL = "train"  # data.yaml has no word for a set without splits


def _write(output: Output) -> list[str]:
    outside = 0
    for image in output.images:
        rows = []
        for box, class_id, _ in image.rows():
            clipped = _inside(box, image.size_px)
            outside += clipped != box
            if clipped[0] < clipped[2] and clipped[1] < clipped[3]:
                rows.append(_row(clipped, class_id, image.size_px))
        write_text(output.folder / "labels" / (image.split or "") / f"{image.stem}.txt", "".join(rows))
    names = "".join(f"{name}\n" for name in output.class_names)
    for split in output.splits:
        write_text(output.folder / "labels" / (split or "") / "classes.txt", names)
    write_text(output.folder / "classes.txt", names)
    notes = _write_yaml(output)
    if outside:
        notes.append(f"{outside} boxes reached outside their images and were cut off there: yolo can't say it")
    return notes


def _inside(box: Box, size_px: tuple[int, int]) -> Box:
    x1, y1, x2, y2 = box
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(size_px[0])), min(y2, float(size_px[1]))


def _row(box: Box, class_id: int, size_px: tuple[int, int]) -> str:
    (x1, y1, x2, y2), (width_px, height_px) = box, size_px
    shares = (x1 + x2) / 2 / width_px, (y1 + y2) / 2 / height_px, (x2 - x1) / width_px, (y2 - y1) / height_px
    return f"{class_id} {' '.join(f'{share:.6f}' for share in shares)}\n"


def _write_yaml(output: Output) -> list[str]:
    lines, notes = ["path: ."], []
    for split in output.splits:
        source = f"images/{split}" if split else "images"
        if not output.keeps_images:
            source = f"{split or _ALL}.txt"
            write_text(output.folder / source, _listed(output.of_split(split)))
        lines.append(f"{split or _ALL}: {source}")
    lines += ["names:", *(f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in _numbered(output))]
    write_text(output.folder / "data.yaml", "\n".join(lines) + "\n")
    if None in output.splits:
        notes.append(f"the set has no splits: data.yaml calls all of it {_ALL}")
    if not output.keeps_images:
        notes.append("Ultralytics looks for labels beside the images: to train with it, copy or link the images")
    return notes


def _listed(images: tuple[OutputImage, ...]) -> str:
    return "".join(f"{image.file}\n" for image in images)


def _numbered(output: Output) -> enumerate[str]:
    return enumerate(output.class_names)


WRITER = Writer("yolo", "images", carries_difficult=False, carries_parts=False, write=_write)
