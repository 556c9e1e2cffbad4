import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.learning.datasets import LabelledImage
from appliance.learning.evaluation import AtScore, assess
from appliance.learning.evaluation.compare import compare
from appliance.learning.evaluation.report import comparison_page, evaluation_page
from appliance.learning.evaluation.report.confusion import confusion
from appliance.modelling import Detections

NAMES = ("burr", "<b>hole</b>")
VOID = {"meta", "image", "rect", "line", "circle", "polyline", "polygon", "i"}


class Balanced(HTMLParser):
    """Checks that tags close in order, and gathers their attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def image(path: Path, *rows, kind: str | None = None) -> LabelledImage:
    if not path.exists():
        assert cv2.imwrite(str(path), np.full((400, 600), 90, np.uint8))
    table = np.array(rows, np.float32).reshape(-1, 5)
    return LabelledImage(
        path=path,
        part=path.name,
        boxes=table[:, 1:],
        class_ids=table[:, 0].astype(np.int64),
        is_ignored=np.zeros(len(table), np.bool_),
        kind=kind,
    )


def found(*rows, image_score: float | None = None) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 0], table[:, 1].astype(np.int64), image_score)


@pytest.fixture
def images(tmp_path) -> list[LabelledImage]:
    return [
        image(tmp_path / "a&b.png", (0, 20, 20, 60, 60), (1, 300, 300, 320, 330)),
        image(tmp_path / "c.png", (1, 5, 5, 55, 55)),
        image(tmp_path / "d.png"),
    ]


FOUND = [found((0.9, 0, 20, 20, 60, 60), (0.8, 0, 301, 300, 320, 331)), found(), found((0.7, 1, 9, 9, 30, 30))]


def checked(page: str) -> Balanced:
    """Parse a page; nothing may come from outside."""
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "script" not in parser.tags
    assert all(link.startswith("data:image/jpeg;base64,") for link in parser.links)
    assert not re.search(r"https?://|url\(|@import", page)
    return parser


def judged(images, detections=FOUND, score=0.5, **options):
    return assess(images, detections, NAMES, AtScore(score), sizes=[(600, 400)] * len(images), resamples=50, **options)


def test_page_stands_alone_and_shows_the_figures(images):
    page = evaluation_page(judged(images, model={"name": "tabs <1>"}, dataset={"path": "/x"}))
    checked(page)
    assert "tabs &lt;1&gt; on /x" in page
    assert "&lt;b&gt;hole&lt;/b&gt;" in page
    assert "a&amp;b.png: found, but 0 of 2 defects missed" not in page
    assert "c.png: escape, 1 of 1 defects missed" in page
    assert "d.png: rejected with score 0.700" in page
    assert page.count("data:image/jpeg") == 2


def test_page_says_when_nothing_went_wrong(images):
    page = evaluation_page(judged(images[:1], FOUND[:1]))
    checked(page)
    assert "No part escapes and no defect is missed." in page
    assert "none to judge" in page


def test_page_of_an_anomaly_model_shows_its_roc(tmp_path):
    parts = [image(tmp_path / f"{number}.png", kind="dent" if number else None) for number in range(3)]
    scores = [found(image_score=score) for score in (0.6, 0.9, 0.2)]
    page = evaluation_page(judged(parts, scores, task="anomaly"))
    checked(page)
    assert "ROC of the parts" in page
    assert "image AUROC" in page
    assert "Taken for what" not in page


def test_comparison_page_shows_the_parts_on_which_the_two_disagree(images):
    first, second = judged(images, model={"name": "one"}), judged(images, score=0.75, model={"name": "two"})
    page = comparison_page(compare(first, second, 50))
    checked(page)
    assert "one (A) against two (B)" in page
    assert "d.png: A says NG" in page
    assert "d.png: B says OK" in page
    assert "None: both judge these parts alike." in page


def test_confusion_counts_every_label_and_every_counted_detection_once(images):
    matrix = confusion(judged(images))
    assert matrix.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    ignoring = replace(images[2], boxes=FOUND[2].boxes_in_image, class_ids=np.array([0]), is_ignored=np.array([True]))
    assert confusion(judged([ignoring], FOUND[2:])).sum() == 0


def test_large_images_are_cut_to_what_matters(images):
    page = evaluation_page(judged(images[1:2], FOUND[1:2]))
    assert "cut to 120x120 px at 0, 0" in page
