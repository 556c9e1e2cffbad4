"""RT-DETR in each form it is exported in: the bundle of trained files against transcriptions of the libraries."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from references.box_match import clipped, worst_match
from references.pictures import CASES, pictures, run_file
from references.query_rows import from_lists, from_logits, from_ranked_rows, from_rows, prepared
from references.quick_import import import_here

from appliance.modelling.detector import Detector

CLASSES = ("missing_copper", "extra_copper")
SIDE_PX = 160


def official(file, values, size, score):
    """The file itself, told the picture's own size, as its demo does."""
    labels, boxes, scores = run_file(file, values, orig_target_sizes=np.array([size], np.int64))
    return from_lists(labels[0], boxes[0], scores[0], score)


def hugging_face(file, values, size, score):
    logits, boxes = run_file(file, values)
    return from_logits(logits[0], boxes[0], size, score)


def old_ultralytics(file, values, size, score):
    return from_rows(run_file(file, values)[0][0], size, score)


def new_ultralytics(file, values, size, score):
    return from_ranked_rows(run_file(file, values)[0][0], size, score)


@dataclass(frozen=True)
class Form:
    file: str
    reference: object
    written: str


FORMS = [
    Form("detr_lists", official, "lists"),
    Form("detr_logits", hugging_face, "logits_boxes"),
    Form("detr_rows", old_ultralytics, "rows"),
    Form("detr_ranked", new_ultralytics, "ranked_rows"),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.written)
def test_finds_what_the_library_finds(form, tmp_path):
    file = CASES / "detr" / f"{form.file}.onnx"
    bundle = import_here(file, tmp_path / "bundle", classes=CLASSES)
    assert bundle.family == "detr"
    assert bundle.decode["form"] == form.written
    detector = Detector(bundle, threads=1)
    for score in (0.1, 0.03):
        boxes = 0
        for name, picture in pictures():
            size = picture.shape[1::-1]
            values = prepared(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), SIDE_PX, SIDE_PX)
            expected = clipped(form.reference(file, values, size, score), *size)
            (found,) = detector.detect([picture], pixel_format="BGR8", score=score)
            lowest_iou, score_difference = worst_match(found, expected)
            assert lowest_iou >= 0.99, name
            assert score_difference <= 1e-3, name
            boxes += len(expected)
        assert boxes >= 2


def test_the_size_folded_into_the_graph_holds_for_every_picture_of_a_batch(tmp_path):
    bundle = import_here(CASES / "detr" / "detr_lists.onnx", tmp_path / "bundle", classes=CLASSES)
    images = [picture for _, picture in pictures()]
    together = Detector(bundle, threads=1, max_batch=3).detect(images, pixel_format="BGR8", score=0.05)
    one_by_one = Detector(bundle, threads=1)
    for image, found in zip(images, together, strict=True):
        (alone,) = one_by_one.detect([image], pixel_format="BGR8", score=0.05)
        rows = zip(alone.class_ids, alone.scores, *alone.boxes_in_image.T, strict=True)
        lowest_iou, score_difference = worst_match(found, [tuple(map(float, row)) for row in rows])
        assert lowest_iou >= 0.99
        assert score_difference <= 1e-3
