"""anomalib's exports: scores and regions of the bundle against the file's own map, normalised and filled plainly."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from references.box_match import clipped, worst_match
from references.pictures import CASES, run_file
from references.quick_import import facts_here, import_here
from references.score_map import normalised, prepared, regions

from appliance.errors import ImportRefused
from appliance.modelling.detector import Detector
from appliance.modelling.families.anomaly_map import FAMILY

FOLDER = CASES / "anomaly_map"
SIDE_PX = 96
RAW = {"threshold": 8.76, "minimum": 0.56, "maximum": 38.2}


@dataclass(frozen=True)
class Case:
    name: str
    outputs: dict[str, int] = field(default_factory=lambda: {"pred_score": 0, "anomaly_map": 2})
    scale: dict[str, float] | None = None


CASES_OF_MAPS = [
    Case("patchcore"),
    Case("padim"),
    Case("padim_raw", outputs={"pred_score": 0, "anomaly_map": 1}, scale=RAW),
]


def weld_pictures():
    for file in sorted(FOLDER.glob("*.png")):
        yield file.stem, cv2.imread(str(file), cv2.IMREAD_COLOR)


def own_answer(case, picture):
    values = prepared(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), SIDE_PX, SIDE_PX)
    outputs = run_file(FOLDER / f"{case.name}.onnx", values)
    score, score_map = (outputs[case.outputs[name]][0] for name in ("pred_score", "anomaly_map"))
    if case.scale is None:
        return float(score), score_map[0]
    return float(normalised(score, *case.scale.values())), normalised(score_map[0], *case.scale.values())


@pytest.mark.parametrize("case", CASES_OF_MAPS, ids=lambda case: case.name)
def test_finds_the_regions_and_score_of_the_files_own_map(case, tmp_path):
    options = {} if case.scale is None else {"decode": {"map_scale": case.scale}}
    bundle = import_here(FOLDER / f"{case.name}.onnx", tmp_path / "bundle", **options)
    assert (bundle.task, bundle.family, bundle.class_names) == ("anomaly", "anomaly_map", ("anomaly",))
    detector = Detector(bundle, threads=1)
    count = 0
    for name, picture in weld_pictures():
        size = picture.shape[1::-1]
        image_score, scores = own_answer(case, picture)
        for score in (0.5, 0.3):
            expected = clipped(regions(scores, size, score), *size)
            (found,) = detector.detect([picture], pixel_format="BGR8", score=score)
            lowest_iou, score_difference = worst_match(found, expected)
            assert lowest_iou >= 0.99, name
            assert score_difference <= 1e-3, name
            assert found.image_score == pytest.approx(image_score, abs=1e-3)
            count += len(expected)
    assert count >= 4


def test_a_map_without_known_range_is_refused_with_the_option_that_helps(tmp_path):
    with pytest.raises(ImportRefused, match="map_scale"):
        import_here(FOLDER / "padim_raw.onnx", tmp_path / "bundle")


def test_a_normalised_map_is_claimed_without_doubt():
    claim = FAMILY.recognise(facts_here(FOLDER / "patchcore.onnx"))
    assert claim is not None
    assert claim.doubts == ()
    assert claim.outputs == ("anomaly_map", "pred_score")
    assert not np.any(claim.preprocessing.mean)
