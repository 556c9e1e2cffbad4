from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.messages import Finding, FrameGeometry, VerdictWord
from appliance.modelling import GoldenCase, ModelBundle, load_bundle
from appliance.testing.inspector_rig import InspectorRig, inspector_config

MODELS_DIR = Path(__file__).parents[2] / "models"
BUNDLES = sorted(path.parent.name for path in MODELS_DIR.glob("*/model.toml"))

HEAD = """
name = "golden"
version = 1
model = "{model}"
deadline_ms = {deadline_ms}
[evidence]
mean_grey_min = 1
mean_grey_max = 254
sharpness_min = {sharpness_min}
"""


def recipe_of(bundle: ModelBundle) -> str:
    return HEAD + "".join(f'[classes."{name}"]\nscore = {bundle.thresholds.score}\n' for name in bundle.class_names)


def test_repository_ships_a_model() -> None:
    assert BUNDLES


@pytest.mark.parametrize("name", BUNDLES)
def test_golden_images_come_out_of_the_whole_inspector_as_promised(name: str, tmp_path: Path) -> None:
    bundle = load_bundle(MODELS_DIR / name)
    cases = bundle.golden_cases()
    assert {case.verdict for case in cases} == {"OK", "NG"}
    images = [cv2.imdecode(np.frombuffer(bundle.contents[case.file], np.uint8), cv2.IMREAD_GRAYSCALE) for case in cases]
    height, width = images[0].shape
    geometries = {"top": FrameGeometry(width, height, "Mono8")}
    config = inspector_config(
        tmp_path, geometries, model=name, models_dir=MODELS_DIR, recipe=recipe_of(bundle), max_wait_ms=50
    )
    with InspectorRig(config, geometries) as running:
        for trigger_id, image in enumerate(images):
            running.rings["top"].offer(image, trigger_id + 1)
        found = {finding.trigger_id: finding for finding in running.findings(len(cases))}
        assert running.status()["cameras"]["top"]["copies_per_frame"] == 0
    for trigger_id, case in enumerate(cases):
        compare(found[trigger_id + 1], case)


def compare(finding: Finding, case: GoldenCase) -> None:
    assert finding.verdict is VerdictWord[case.verdict], f"{case.file}: {finding.detail}"
    expected = sorted(case.detections, key=lambda one: (-one.score, one.box_px))
    assert len(finding.defects) == len(expected)
    for defect, golden in zip(finding.defects, expected, strict=True):
        assert defect.class_name == golden.class_name
        assert defect.score == pytest.approx(golden.score, abs=0.01)
        assert defect.box_px == pytest.approx(golden.box_px, abs=1)
