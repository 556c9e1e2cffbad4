"""Open a set in labelImg's own reader, save it by its own writer: writes the cases in tests/cases/labelimg.

    pip install lxml PyQt5; pip download --no-deps --no-binary :all: labelImg==1.8.6; tar xf labelImg-1.8.6.tar.gz
    PYTHONPATH=labelImg-1.8.6 python tests/conformance_tools/through_labelimg.py tests/cases/labelimg

`written/` and `captured/` hold what the appliance wrote, `saved/` and `captured_saved/` the same after labelImg opened
and saved it, `drawn/` what labelImg writes for boxes drawn by hand. Needs an environment of its own, for PyQt5.
"""

import sys
from pathlib import Path

from libs.labelFile import LabelFile
from libs.pascal_voc_io import PascalVocReader
from libs.yolo_io import YoloReader
from PyQt5.QtGui import QImage

DRAWN = [  # class, corners as a mouse leaves them, difficult
    ("毛刺", (3.7, 4.2, 20.9, 11.5), False),
    ("余料 & 划痕 <深>", (0.0, 0.0, 40.0, 30.0), True),
    ("pin-hole", (1.0, 1.0, 2.0, 2.0), False),
    ("毛刺", (39.0, 29.0, 40.0, 30.0), True),
    ("pin-hole", (0.2, 7.0, 1.1, 8.0), False),
]


def shapes_of(reader):
    """Do as MainWindow.load_labels and format_shape do."""
    return [{"label": row[0], "points": row[1], "difficult": row[4]} for row in reader.get_shapes()]


def main(folder: Path) -> None:
    """Bring every label of `written` and `captured` to where it is saved, and draw the boxes of `drawn`."""
    for label in sorted([*(folder / "written").glob("*.xml"), *(folder / "captured").glob("*.xml")]):
        image = QImage(str(label.with_suffix(".png")))
        saved = folder / {"written": "saved", "captured": "captured_saved"}[label.parent.name] / label.name
        saved.parent.mkdir(exist_ok=True)
        shapes = shapes_of(PascalVocReader(str(label)))
        LabelFile().save_pascal_voc_format(str(saved), shapes, f"/set/images/{label.stem}.png", image)
    names = (folder / "written_yolo/labels/classes.txt").read_text(encoding="utf-8").split("\n")[:-1]
    for label in sorted((folder / "written_yolo/labels").glob("[!c]*.txt")):
        image = QImage(str(folder / "written" / f"{label.stem}.png"))
        saved = folder / "saved_yolo" / label.name
        saved.parent.mkdir(exist_ok=True)
        shapes = shapes_of(YoloReader(str(label), image))
        LabelFile().save_yolo_format(str(saved), shapes, f"/set/images/{label.stem}.png", image, list(names))
    image = QImage(40, 30, QImage.Format_Grayscale8)
    image.fill(90)
    shapes = [
        {"label": name, "points": [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], "difficult": is_difficult}
        for name, (x1, y1, x2, y2), is_difficult in DRAWN
    ]
    (folder / "drawn").mkdir(exist_ok=True)
    LabelFile().save_pascal_voc_format(str(folder / "drawn/部件 01.xml"), shapes, "/set/images/部件 01.png", image)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
