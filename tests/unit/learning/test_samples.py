import json
from pathlib import Path

import cv2
import pytest

from appliance.learning.datasets.deeppcb import CLASS_NAMES, SIZE_PX, SPLIT

FOLDER = Path(__file__).parents[3] / "examples" / "deeppcb"
TRUTH = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))


def test_every_sample_image_has_a_truth_and_every_truth_an_image():
    assert sorted(path.name for path in FOLDER.glob("*.jpg")) == sorted(TRUTH)


def test_samples_come_from_groups_that_training_never_saw():
    assert {name[5:10] for name in TRUTH} == set(SPLIT["test"])


def test_both_verdicts_and_every_class_are_shown():
    assert {row["verdict"] for row in TRUTH.values()} == {"OK", "NG"}
    assert {defect["class_name"] for row in TRUTH.values() for defect in row["defects"]} == set(CLASS_NAMES)


@pytest.mark.parametrize("name", list(TRUTH)[::6])
def test_boxes_lie_inside_the_picture(name):
    pixels = cv2.imread(str(FOLDER / name), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert pixels.shape == (SIZE_PX, SIZE_PX)
    assert (TRUTH[name]["verdict"] == "NG") == bool(TRUTH[name]["defects"])
    for defect in TRUTH[name]["defects"]:
        x1, y1, x2, y2 = defect["box_px"]
        assert 0 <= x1 < x2 <= SIZE_PX
        assert 0 <= y1 < y2 <= SIZE_PX
