import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.errors import ConfigError, ModelError
from appliance.inspection.inspector import Inspector
from appliance.messages import Finding, FrameGeometry, Reason, VerdictWord
from appliance.stage import Stage
from appliance.testing.inspector_rig import RECIPE, Ear, FilledRing, InspectorRig, inspector_config
from appliance.testing.tiny_detector import write_tiny_bundle

WIDTH, HEIGHT = 64, 48
MONO8 = FrameGeometry(WIDTH, HEIGHT, "Mono8")


def good(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(30, 130, (HEIGHT, WIDTH), np.uint8)


def bad(seed: int) -> NDArray[np.uint8]:
    image = good(seed)
    image[16:32, 32:48] = 240
    return image


def rig(
    tmp_path: Path,
    geometries: dict[str, FrameGeometry] | None = None,
    model: dict[str, Any] | None = None,
    **options: Any,
) -> InspectorRig:
    write_tiny_bundle(tmp_path / "tiny", width=WIDTH, height=HEIGHT, **(model or {}))
    geometries = geometries or {"top": MONO8}
    return InspectorRig(inspector_config(tmp_path, geometries, model="tiny", **options), geometries)


def by_trigger(findings: list[Finding]) -> dict[tuple[str, int], Finding]:
    told = {(finding.camera, finding.trigger_id): finding for finding in findings}
    assert len(told) == len(findings), "a trigger was answered twice"
    return told


def test_each_frame_gets_one_finding_and_its_slot_is_free_again(tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        ring = running.rings["top"]
        for trigger_id in range(1, 41):
            assert ring.offer((bad if trigger_id % 3 == 0 else good)(trigger_id), trigger_id) is Reason.NONE
            running.until(lambda: ring.leased < 8)  # a finding is told before its slot is given back
        told = by_trigger(running.findings(40))
        running.until(lambda: ring.leased == 0)
        for (_, trigger_id), finding in told.items():
            assert finding.verdict is (VerdictWord.NG if trigger_id % 3 == 0 else VerdictWord.OK)
        (defect,) = told["top", 3].defects
        assert (defect.class_name, defect.box_px) == ("bright", (32, 16, 48, 32))
        assert told["top", 3].region_px == (0, 0, WIDTH, HEIGHT)
        assert list(told["top", 1].stage_ms) == ["evidence", "queue", "inference", "judge"]


def test_neighbouring_frames_reach_the_model_without_a_copy(tmp_path: Path) -> None:
    with rig(tmp_path, max_batch=4, max_wait_ms=50) as running:
        for trigger_id in range(1, 13):
            running.rings["top"].offer(good(trigger_id), trigger_id)
        running.findings(12)
        status = running.status()
        assert status["cameras"]["top"]["copies_per_frame"] == 0
        assert status["batches"] < 12
        assert status["cameras"]["top"]["inspected"] == 12


@dataclass(frozen=True)
class DoubtCase:
    name: str
    image: NDArray[np.uint8]
    reason: Reason
    check: str


DOUBTS = [
    DoubtCase("black", np.zeros((HEIGHT, WIDTH), np.uint8), Reason.IMAGE_INVALID, "mean_grey"),
    DoubtCase("saturated", np.full((HEIGHT, WIDTH), 255, np.uint8), Reason.IMAGE_INVALID, "mean_grey"),
    DoubtCase("blurred", np.full((HEIGHT, WIDTH), 100, np.uint8), Reason.IMAGE_INVALID, "sharpness"),
    DoubtCase("frozen", good(1), Reason.STALE_FRAME, "pixels_repeated"),
]


@pytest.mark.parametrize("case", DOUBTS, ids=lambda case: case.name)
def test_frame_without_evidence_is_unknown_without_inference(case: DoubtCase, tmp_path: Path) -> None:
    with rig(tmp_path, sharpness_min=2) as running:
        ring = running.rings["top"]
        ring.offer(good(1), 1)
        running.findings(1)
        ring.offer(case.image, 2)
        finding = by_trigger(running.findings(2))["top", 2]
        running.until(lambda: ring.leased == 0)
        assert (finding.verdict, finding.reason) == (VerdictWord.UNKNOWN, case.reason)
        assert finding.detail
        assert running.status()["cameras"]["top"]["evidence_failures"] == {case.check: 1}
        assert running.status()["cameras"]["top"]["inspected"] == 1


def test_repeated_frame_id_is_stale(tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        running.rings["top"].offer(good(1), 1, frame_id=7)
        running.rings["top"].offer(good(2), 2, frame_id=7)
        assert by_trigger(running.findings(2))["top", 2].reason is Reason.STALE_FRAME


def test_failing_session_answers_model_error_and_goes_on(tmp_path: Path) -> None:
    with rig(tmp_path, model={"fails_on_white": True}, max_wait_ms=0) as running:
        ring = running.rings["top"]
        white = good(2)
        white[5, 5] = 255
        for trigger_id, image in enumerate((good(1), white, good(3)), start=1):
            ring.offer(image, trigger_id)
            running.findings(trigger_id)
        told = by_trigger(running.findings(3))
        running.until(lambda: ring.leased == 0)
        words = [told["top", trigger_id].verdict for trigger_id in (1, 2, 3)]
        assert words == [VerdictWord.OK, VerdictWord.UNKNOWN, VerdictWord.OK]
        assert told["top", 2].reason is Reason.MODEL_ERROR
        assert "session run of 1 frames failed" in (told["top", 2].detail or "")
        assert running.status()["cameras"]["top"]["model_errors"] == 1


def test_nan_in_one_frame_of_a_batch_does_not_touch_the_others(tmp_path: Path) -> None:
    with rig(tmp_path, model={"nan_below": 60}, max_batch=3, max_wait_ms=2000) as running:
        for trigger_id, image in enumerate((good(1), good(2) // 3 + 10, bad(3)), start=1):
            running.rings["top"].offer(image, trigger_id)
        told = by_trigger(running.findings(3))
        assert told["top", 1].verdict is VerdictWord.OK
        assert (told["top", 2].verdict, told["top", 2].reason) == (VerdictWord.UNKNOWN, Reason.MODEL_ERROR)
        assert told["top", 3].verdict is VerdictWord.NG


def test_several_cameras_are_told_apart_whatever_their_format(tmp_path: Path) -> None:
    geometries = {"grey": MONO8, "colour": FrameGeometry(WIDTH, HEIGHT, "RGB8")}
    with rig(tmp_path, geometries) as running:
        for trigger_id in range(1, 9):
            running.rings["grey"].offer(good(trigger_id), trigger_id)
            running.rings["colour"].offer(np.stack([bad(trigger_id)] * 3, axis=2), trigger_id)
        told = by_trigger(running.findings(16))
        assert {finding.verdict for (camera, _), finding in told.items() if camera == "grey"} == {VerdictWord.OK}
        assert {finding.verdict for (camera, _), finding in told.items() if camera == "colour"} == {VerdictWord.NG}
        assert running.status()["cameras"]["colour"]["copies_per_frame"] == 1


def test_frame_of_a_size_the_model_cannot_take_is_answered_at_once(tmp_path: Path) -> None:
    with rig(tmp_path, {"top": FrameGeometry(80, 48, "Mono8")}, {"fit": "exact"}) as running:
        running.rings["top"].offer(np.random.default_rng(0).integers(30, 130, (48, 80), np.uint8), 1)
        (finding,) = running.findings(1)
        assert finding.reason is Reason.MODEL_ERROR
        assert "expected 64x48 px, got 80x48" in (finding.detail or "")
        assert running.status()["cameras"]["top"]["refused"] == 1


def test_late_frame_is_given_up_and_released_without_a_word(tmp_path: Path) -> None:
    with rig(tmp_path, deadline_ms=200) as running:
        ring = running.rings["top"]
        ring.offer(good(1), 1, age_ms=300)
        ring.offer(good(2), 2)
        (finding,) = running.findings(1)
        running.until(lambda: ring.leased == 0)
        assert finding.trigger_id == 2
        assert running.status()["cameras"]["top"]["given_up"] == 1


def test_frames_are_released_while_the_publisher_is_away_and_it_is_found_again(tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        ring, ear = running.rings["top"], running.ear
        assert ear is not None
        assert json.loads(ear.hellos[0])["role"] == "inspector"
        ear.close()
        running.ear = None
        for trigger_id in range(1, 6):
            ring.offer(good(trigger_id), trigger_id)
        running.until(lambda: running.status()["cameras"]["top"]["inspected"] == 5 and ring.leased == 0)
        assert running.status()["findings_unsent"] >= 5
        running.ear = again = Ear(running.runtime_dir)
        running.until(lambda: bool(again.hellos))
        ring.offer(good(6), 6)
        assert running.findings(1)[0].trigger_id == 6


def test_grabber_that_restarts_is_found_again(tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        running.rings["top"].offer(good(1), 1)
        running.findings(1)
        running.rings.pop("top").close()
        running.until(lambda: not running.status()["cameras"]["top"]["is_connected"])
        running.rings["top"] = again = FilledRing(running.runtime_dir, "top", MONO8)
        running.until(lambda: again.has_inspector)
        again.offer(good(2), 2)
        assert by_trigger(running.findings(2))["top", 2].verdict is VerdictWord.OK
        running.until(lambda: again.leased == 0)


def test_frames_of_a_dead_grabber_are_still_judged(tmp_path: Path) -> None:
    with rig(tmp_path, max_wait_ms=500) as running:
        running.rings["top"].offer(bad(1), 1)
        running.rings.pop("top").close()
        assert running.findings(1)[0].verdict is VerdictWord.NG
        running.rings["top"] = FilledRing(running.runtime_dir, "top", MONO8)


def test_stop_finishes_what_is_held(tmp_path: Path) -> None:
    with rig(tmp_path, max_batch=8, max_wait_ms=5000) as running:
        for trigger_id in (1, 2, 3):
            running.rings["top"].offer(good(trigger_id), trigger_id)
        assert running.stop() < 2
        assert len(running.findings(3)) == 3


def test_status_names_model_recipe_and_session(tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        status = running.status()
        assert status["model"]["name"] == "tiny"
        assert len(status["model"]["sha256"]) == len(status["recipe"]["sha256"]) == 64
        assert (status["execution_provider"], status["intra_op_num_threads"]) == ("CPUExecutionProvider", 1)
        json.dumps(status)


def test_recipe_for_another_model_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the model knows no class 'burr'"):
        rig(tmp_path, recipe=RECIPE + "[classes.burr]\nscore = 0.5\n")


def test_missing_model_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="absent: no such folder"):
        Inspector(inspector_config(tmp_path, ["top"], model="absent"), Stage("inspect", tmp_path / "run"))


def test_frame_larger_than_the_model_is_cut_into_tiles_where_the_recipe_says_so(tmp_path: Path) -> None:
    large = FrameGeometry(160, 112, "Mono8")
    with rig(tmp_path, {"top": large}, recipe=RECIPE + "[tiling]\noverlap_px = 16\n") as running:
        image = np.random.default_rng(0).integers(30, 130, (112, 160), np.uint8)
        image[16:32, 48:64] = 240  # lies in the overlap of two tiles
        image[96:112, 144:160] = 240
        assert running.rings["top"].offer(image, 1) is Reason.NONE
        (finding,) = running.findings(1)
        assert finding.verdict is VerdictWord.NG
        assert sorted(defect.box_px for defect in finding.defects) == [(48, 16, 64, 32), (144, 96, 160, 112)]
        running.until(lambda: running.rings["top"].leased == 0)
