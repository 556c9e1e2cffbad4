"""A capture beside a line that the test drives: which pictures it takes, and what it says of each."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.config import load_recipe
from appliance.errors import DatasetError, NotRunning
from appliance.learning.capture import Capture, StopReason
from appliance.learning.datasets import read_image
from appliance.messages import Defect, Part, TriggerFlag, VerdictWord
from appliance.testing.capture_stand import CLASSES, CaptureStand, scene

OK, NG = VerdictWord.OK, VerdictWord.NG
BOX = (8.0, 8.0, 24.0, 20.0)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[CaptureStand]:
    with CaptureStand(tmp_path) as line:
        yield line


def manifest(stand: CaptureStand) -> list[dict]:
    return [json.loads(line) for line in (stand.out / "capture-manifest.jsonl").read_text().splitlines()]


def words(row: dict) -> list[str]:
    return [why["reason"] for why in row["why"]]


def test_every_nth_frame_is_taken_whole_and_without_loss(stand: CaptureStand) -> None:
    capture = stand.start(every=3)
    for number in range(1, 8):
        stand.tell(stand.show(scene(number)))
    stand.work(lambda: capture.tally.taken == 2)
    rows = manifest(stand)
    assert [(row["trigger_id"], words(row)) for row in rows] == [(3, ["every"]), (6, ["every"])]
    for row in rows:
        pixels, _ = read_image(stand.out / row["file"])
        assert np.array_equal(pixels, scene(row["trigger_id"]))


def test_only_parts_with_a_defect_are_taken_for_ng_and_the_manifest_tells_all_about_them(stand: CaptureStand) -> None:
    capture = stand.start(ng=True)
    stand.tell(stand.show(scene(1)))
    bad = stand.show(scene(2))
    stand.tell(bad, NG, [Defect("open", 0.9, BOX)], [Defect("spur", 0.2, BOX)], Part("P-77", "lot 3"))
    stand.work(lambda: capture.tally.taken == 1)
    (row,) = manifest(stand)
    assert row["trigger_id"] == 2
    assert (row["part_id"], row["lot"], row["inspection_id"], row["verdict"]) == ("P-77", "lot 3", 1002, "NG")
    assert (row["exposure_time_us"], row["gain"], row["is_simulated"]) == (200.0, 1.5, True)
    assert row["recipe"] == stand.recipe
    assert (row["model"]["name"], row["ledger_epoch"]) == ("tiny", "0123456789abcdef")
    assert [(one["class_name"], one["score"]) for one in row["defects"]] == [("open", 0.9)]
    assert [(one["class_name"], one["score"]) for one in row["near_misses"]] == [("spur", 0.2)]
    assert len(row["sha256"]) == len(row["perceptual_hash"]) == 64
    assert stand.end()["by_reason"] == {"ng": 1}


def test_scores_near_their_rule_and_disagreeing_shadows_are_uncertain(stand: CaptureStand) -> None:
    (stand.config.state_dir / "shadow_models.json").write_text("{}")
    capture = stand.start(uncertain=True, margin=0.05)
    threshold = load_recipe(stand.config.recipe).classes["spur"].score
    cases = [
        (OK, [Defect("spur", threshold - 0.03, BOX)], OK),
        (OK, [Defect("spur", 0.20, BOX)], NG),
        (OK, [], OK),
        (NG, [], VerdictWord.UNKNOWN),  # a shadow that failed has no opinion
    ]
    for number, (verdict, near_misses, shadow) in enumerate(cases, start=1):
        trigger = stand.show(scene(number))
        stand.tell(trigger, verdict, near_misses=near_misses)
        stand.tell_shadow(trigger, shadow)
    stand.work(lambda: capture.tally.taken == 2)
    near, other = manifest(stand)
    (reason,) = near["why"]
    assert (reason["reason"], reason["class_name"], reason["threshold"]) == ("near_threshold", "spur", threshold)
    assert reason["score"] == pytest.approx(threshold - 0.03)
    disagrees = {"reason": "shadow_disagrees", "view": "whole", "in_use": "OK", "shadow": "NG", "model": "other"}
    assert other["why"] == [disagrees]
    assert [one["model"]["name"] for one in other["shadow"]] == ["other"]
    assert stand.end()["taken"] == 2


def test_a_frame_much_darker_than_those_before_it_is_uncertain(stand: CaptureStand) -> None:
    capture = stand.start(uncertain=True)
    for number in range(30):
        stand.tell(stand.show(scene(number)))
    stand.tell(stand.show(scene(31) // 8))
    stand.work(lambda: capture.tally.taken == 1)
    (row,) = manifest(stand)
    assert words(row) == ["outlier"]
    assert row["why"][0]["value"] < row["why"][0]["median"]


def test_what_was_wanted_and_passed_unseen_is_counted_as_missed(stand: CaptureStand) -> None:
    capture = stand.start(ng=True)
    stand.tell(stand.show(scene(1)))
    stand.tell(stand.skip(), NG, [Defect("open", 0.9, BOX)])
    stand.tell(stand.skip(), OK)
    stand.work(lambda: capture.tally.missed == 1)
    stand.tell(stand.show(scene(4)), NG)
    stand.work(lambda: capture.tally.taken == 1)
    summary = stand.end()
    assert (summary["missed"], summary["unanswered"]) == (1, 0)


def test_a_part_that_was_taken_is_not_taken_again_also_by_a_later_capture(stand: CaptureStand) -> None:
    capture = stand.start(every=1)
    for number in (1, 2, 1, 3):
        stand.tell(stand.show(scene(number)))
    stand.work(lambda: capture.tally.taken + capture.tally.duplicates == 4)
    assert (stand.end()["taken"], len(manifest(stand))) == (3, 3)
    capture = stand.start(every=1)
    for number in (2, 4):
        stand.tell(stand.show(scene(number)))
    stand.work(lambda: capture.tally.taken + capture.tally.duplicates == 2)
    summary = stand.end()
    assert (summary["taken"], summary["duplicates"], summary["pictures_in_folder"]) == (1, 1, 4)


def test_the_same_look_with_another_finding_is_no_duplicate(stand: CaptureStand) -> None:
    capture = stand.start(every=1)
    stand.tell(stand.show(scene(1)))
    burr = scene(1)
    burr[20:22, 30:33] = 255  # too small for any bit of the hash
    stand.tell(stand.show(burr), NG, [Defect("open", 0.9, BOX)])
    stand.work(lambda: capture.tally.taken == 2)


def test_who_asks_for_the_next_part_gets_it_and_no_other(stand: CaptureStand) -> None:
    capture = stand.start(on_request=True, count=2)
    stand.tell(stand.show(scene(1)))
    capture.ask()
    for number in (2, 3):
        stand.tell(stand.show(scene(number)))
    stand.work(lambda: capture.tally.taken == 1)
    capture.ask()
    stand.tell(stand.show(scene(4)))
    stand.work(lambda: capture.stop is StopReason.COUNT)
    assert [(row["trigger_id"], words(row)) for row in manifest(stand)] == [(2, ["requested"]), (4, ["requested"])]


def test_count_is_never_exceeded_by_what_waits(stand: CaptureStand) -> None:
    capture = stand.start(every=1, count=2)
    for number in range(2):
        stand.tell(stand.show(scene(number)))
    stand.tell(stand.skip())
    stand.work(lambda: capture.stop is StopReason.COUNT)
    assert stand.end()["taken"] == 2


@pytest.mark.parametrize(
    ("limits", "stop"), [({"limit_bytes": 100}, StopReason.LIMIT_MB), ({"min_free_bytes": 10**18}, StopReason.DISK)]
)
def test_the_disk_is_never_filled(stand: CaptureStand, limits: dict, stop: StopReason) -> None:
    capture = stand.start(every=1, **limits)
    stand.tell(stand.show(scene(1)))
    stand.work(lambda: capture.stop is not None)
    assert capture.stop is stop
    assert not list(stand.out.glob("*.png"))
    assert stand.end()["taken"] == 0


def test_the_ring_counts_nothing_of_it_and_gets_every_slot_back(stand: CaptureStand) -> None:
    capture = stand.start(every=1)
    for number in range(6):  # it sleeps meanwhile: two are offered, four go by
        stand.tell(stand.expose(scene(number)))
    stand.work(lambda: capture.tally.taken == 2 and capture.tally.missed == 4)
    stand.work(lambda: stand.ring.status()["leased"] == 0)
    assert stand.ring.status()["missed"] == stand.ring.status()["dropped"] == 0


def test_prelabels_are_what_the_model_in_use_found(stand: CaptureStand) -> None:
    capture = stand.start(every=1, prelabels=True)
    stand.tell(
        stand.show(scene(1)), NG, [Defect("open", 0.9, BOX)], [Defect("spur", 0.7, BOX), Defect("open", 0.2, BOX)]
    )
    stand.tell(stand.show(scene(2)))
    stand.work(lambda: capture.tally.taken == 2)
    doubted = stand.show(scene(3))
    stand.tell(doubted, VerdictWord.UNKNOWN)
    stand.work(lambda: capture.tally.taken == 3)
    texts = [(stand.out / row["file"]).with_suffix(".xml") for row in manifest(stand)]
    assert [path.is_file() for path in texts] == [True, True, False], "no opinion is no OK"
    assert [name in texts[0].read_text() for name in (">open<", ">spur<")] == [True, True]
    assert texts[0].read_text().count("<object>") == 2, "what lies below its rule is no box"
    assert "<object>" not in texts[1].read_text()
    assert (stand.out / "predefined_classes.txt").read_text().split() == list(CLASSES)


def test_one_folder_takes_one_capture_at_a_time(stand: CaptureStand) -> None:
    stand.start(every=1)
    with pytest.raises(DatasetError, match="another capture fills this folder"):
        stand.start(every=1)


def test_without_an_appliance_it_says_so(stand: CaptureStand) -> None:
    stand.start(every=1)
    config = stand.config.model_copy(
        update={"recorder": stand.config.recorder.model_copy(update={"result_endpoint": f"ipc://{stand.out}/nobody"})}
    )
    capture = Capture(config, stand.capture._request, stand.folder, cameras=["cam0"], exposure_of=lambda _: {})
    try:
        with pytest.raises(NotRunning, match="no recorder answers"):
            capture.attach(0.0)
    finally:
        capture.close()


def test_a_free_running_camera_may_show_one_part_often(stand: CaptureStand) -> None:
    flags = TriggerFlag.SIMULATED | TriggerFlag.FREE_RUNNING
    capture = stand.start(every=1)
    noise = np.random.default_rng(0)
    for _ in range(4):
        pixels = (scene(1) + noise.integers(0, 4, scene(1).shape)).astype(np.uint8)
        stand.tell(stand.show(pixels, flags=flags))
        stand.work(lambda: capture.tally.taken == 1)
    stand.work(lambda: capture.tally.duplicates == 3)
