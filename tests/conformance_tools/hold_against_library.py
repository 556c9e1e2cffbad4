"""Hold the import of real exports against the post-processing of the library that exported them.

A tool of development; no test needs it. Two steps, because no library that trains may live beside the product:

    library's environment   python hold_against_library.py reference ultralytics IMAGES_DIR model.onnx …
                            python hold_against_library.py reference libreyolo   IMAGES_DIR model.onnx …
    product's environment   python hold_against_library.py compare model.json …

`reference` writes what the library finds beside each file, `compare` imports the file and prints a row of a table:
boxes of the library, boxes without a partner on either side, worst IoU and worst difference of scores.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

SCORE = 0.25
IMAGES = ("*.png", "*.jpg", "*.jpeg", "*.bmp")


def ultralytics(file, images):
    """Each image's boxes, scores and classes as Ultralytics predicts them with the ONNX file at its full size."""
    from ultralytics import YOLO  # noqa: PLC0415 - only here

    model = YOLO(file, task="detect")
    for image in images:
        found = model.predict(image, conf=SCORE, rect=False, device="cpu", verbose=False)[0].boxes
        yield found.xyxy.tolist(), found.conf.tolist(), found.cls.tolist()


def libreyolo(file, images):
    """The same as libreyolo's ONNX backend predicts it."""
    from libreyolo.backends.onnx import OnnxBackend  # noqa: PLC0415 - only here

    model = OnnxBackend(file)
    for image in images:
        results = model.predict(image, conf=SCORE)
        found = (results[0] if isinstance(results, list) else results).boxes
        yield found.xyxy.tolist(), found.conf.tolist(), found.cls.tolist()


def write_references(library, images_dir, files):
    """Write FILE.json beside every FILE.onnx."""
    images = sorted(str(image) for pattern in IMAGES for image in Path(images_dir).glob(pattern))
    for file in files:
        rows = zip(images, library(file, images), strict=True)
        found = [{"image": image, "boxes": b, "scores": s, "classes": c} for image, (b, s, c) in rows]
        Path(file).with_suffix(".json").write_text(json.dumps({"file": str(Path(file).resolve()), "images": found}))


def compare(references):
    """Print one row of a Markdown table for every file of references."""
    print("| export | family | fit | images | boxes | lost | worst IoU | worst score difference |\n|" + "---|" * 8)
    for path in references:
        print(_row(json.loads(Path(path).read_text())), flush=True)


def _row(reference):
    import cv2  # noqa: PLC0415 - the library's environment may lack the product

    from appliance.modelling.detector import Detector  # noqa: PLC0415
    from appliance.modelling.importer.facts import ImportOptions  # noqa: PLC0415
    from appliance.modelling.importer.model_import import Order, import_model  # noqa: PLC0415

    file = Path(reference["file"])
    with tempfile.TemporaryDirectory() as folder:
        bundle = import_model(Order(file, "held", Path(folder), ImportOptions())).bundle
    detector = Detector(bundle, threads=1)
    boxes, lost, lowest, farthest = 0, 0, 1.0, 0.0
    for one in reference["images"]:
        (found,) = detector.detect([cv2.imread(one["image"])], pixel_format="BGR8", score=SCORE, max_detections=300)
        expected = [np.array(one[key], np.float64) for key in ("boxes", "scores", "classes")]
        unmatched, iou, difference = _match(expected, (found.boxes_in_image, found.scores, found.class_ids))
        boxes, lost = boxes + len(expected[1]), lost + unmatched
        lowest, farthest = min(lowest, iou), max(farthest, difference)
    return (
        f"| {file.stem} | {bundle.family} | {bundle.input.fit} | {len(reference['images'])} | {boxes} | {lost} "
        f"| {lowest:.4f} | {farthest:.1e} |"
    )


def _match(expected, found):
    """Pair boxes of one class greedily, best score first: number without a partner, lowest IoU, greatest difference."""
    boxes, scores, classes = expected
    boxes = boxes.reshape(-1, 4)
    in_frame = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # libraries keep boxes that lie wholly in the border
    free, lost, lowest, farthest = np.ones(len(found[1]), np.bool_), 0, 1.0, 0.0
    for index in np.argsort(-scores):
        if not in_frame[index]:
            continue
        overlaps = np.where(free & (found[2] == classes[index]), _iou(boxes[index], found[0].astype(np.float64)), -1.0)
        partner = int(overlaps.argmax()) if len(overlaps) else -1
        if partner < 0 or overlaps[partner] < 0.5:
            lost += 1
            continue
        free[partner] = False
        lowest = min(lowest, float(overlaps[partner]))
        farthest = max(farthest, float(abs(found[1][partner] - scores[index])))
    return lost + int(free.sum()), lowest, farthest


def _iou(box, boxes):
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    both = np.maximum(sides, 0).prod(axis=1)
    return both / ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - both)


if __name__ == "__main__":
    if sys.argv[1:2] == ["reference"] and len(sys.argv) > 4:
        write_references({"ultralytics": ultralytics, "libreyolo": libreyolo}[sys.argv[2]], sys.argv[3], sys.argv[4:])
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) > 2:
        compare(sys.argv[2:])
    else:
        sys.exit(__doc__)
