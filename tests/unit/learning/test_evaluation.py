import contextlib
import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from appliance.config import ClassRule, EvidenceLimits, Recipe
from appliance.errors import DatasetError, ModelContractMismatch
from appliance.learning.datasets import Dataset, LabelledImage
from appliance.learning.evaluation import AtScore, ByRecipe, Rate, assess, evaluate
from appliance.learning.evaluation.auroc import auroc, resampled_auroc
from appliance.learning.evaluation.bootstrap import resample
from appliance.learning.evaluation.compare import compare
from appliance.learning.evaluation.intervals import clopper_pearson, mcnemar_p
from appliance.learning.evaluation.precision import average_precision
from appliance.learning.evaluation.threshold import Limits, WhatIf, advise
from appliance.modelling import Detections
from appliance.testing.tiny_detector import write_tiny_bundle

NAMES = ("burr", "hole")
SIZE = (100, 100)


def image(*rows, part: str = "", ignored=(), kind: str | None = None) -> LabelledImage:
    """Make a labelled image from rows (class id, x1, y1, x2, y2)."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return LabelledImage(
        path=Path(f"{part}.png"),
        part=part,
        boxes=table[:, 1:],
        class_ids=table[:, 0].astype(np.int64),
        is_ignored=np.array([place in ignored for place in range(len(table))], np.bool_),
        kind=kind,
    )


def found(*rows, image_score: float | None = None) -> Detections:
    """Make detections from rows (score, class id, x1, y1, x2, y2)."""
    table = np.array(sorted(rows, reverse=True), np.float32).reshape(-1, 6)
    return Detections(table[:, 2:], table[:, 0], table[:, 1].astype(np.int64), image_score)


def recipe(**changes) -> Recipe:
    rules = {name: ClassRule(score=0.5) for name in NAMES} | changes
    evidence = EvidenceLimits(mean_grey_min=0, mean_grey_max=255, sharpness_min=0)
    return Recipe(name="tabs", version=2, model="m", deadline_ms=100, evidence=evidence, classes=rules)


PARTS = [
    image((0, 0, 0, 10, 10), (0, 30, 30, 40, 40), part="a"),
    image((1, 5, 5, 15, 15), part="b"),
    image(part="c"),
    image(part="d"),
]
FOUND = [
    found((0.9, 0, 0, 0, 10, 10), (0.3, 0, 30, 30, 40, 40)),
    found((0.6, 1, 5, 5, 15, 15)),
    found((0.4, 0, 1, 1, 9, 9)),
    found(),
]


def judged_at(point, parts=PARTS, detections=FOUND, **options):
    return assess(parts, detections, NAMES, point, sizes=[SIZE] * len(parts), **options)


def random_set(seed: int, digits: int = 9, count: int = 30) -> tuple[list[LabelledImage], list[Detections]]:
    """Make truth and detections that partly agree; few digits make many scores equal."""
    rng = np.random.default_rng(seed)
    images, detections = [], []
    for number in range(count):
        corners = rng.uniform(0, 70, (rng.integers(0, 4), 2))
        truth = [(rng.integers(2), x, y, x + rng.uniform(5, 30), y + rng.uniform(5, 30)) for x, y in corners]
        images.append(image(*truth, part=str(number), ignored=[0] if rng.random() < 0.2 and truth else []))
        rows = [
            (
                round(rng.random(), digits),
                class_id if rng.random() < 0.8 else 1 - class_id,
                *(sides + rng.normal(0, 2, 4)),
            )
            for class_id, *sides in truth + truth[:1]
            if rng.random() < 0.8
        ]
        rows += [
            (round(rng.random(), digits), 0, x, y, x + 9, y + 9) for x, y in rng.uniform(0, 90, (rng.integers(0, 3), 2))
        ]
        detections.append(found(*rows))
    return images, detections


def coco_summary(images, detections) -> tuple[float, float]:
    """Ask pycocotools in its own way, its defaults and all: mAP@0.5 and mAP@0.5:0.95."""
    truth, rows = COCO(), []
    truth.dataset = {
        "info": {},
        "images": [{"id": number} for number in range(len(images))],
        "categories": [{"id": number} for number in range(2)],
        "annotations": [],
    }
    for number, (one, detected) in enumerate(zip(images, detections, strict=True)):
        for (x1, y1, x2, y2), class_id, is_ignored in zip(
            one.boxes.tolist(), one.class_ids.tolist(), one.is_ignored.tolist(), strict=True
        ):
            truth.dataset["annotations"].append(
                {
                    "id": len(truth.dataset["annotations"]) + 1,
                    "image_id": number,
                    "category_id": class_id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(is_ignored),
                }
            )
        rows += [
            {"image_id": number, "category_id": class_id, "score": score, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for (x1, y1, x2, y2), class_id, score in zip(
                detected.boxes_in_image.tolist(), detected.class_ids.tolist(), detected.scores.tolist(), strict=True
            )
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[1], judge.stats[0]


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_what_pycocotools_summarises(seed):
    images, detections = random_set(seed, digits=1)
    ours = average_precision(images, detections, NAMES)
    assert (ours.map50, ours.map50_95) == pytest.approx(coco_summary(images, detections), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_weighted_resample_is_what_pycocotools_says_of_copied_images(seed):
    images, detections = random_set(seed)
    weights = resample(len(images), 3)
    ours = average_precision(images, detections, NAMES).resampled(weights)
    for row, counts in zip(ours, weights, strict=True):
        places = np.repeat(np.arange(len(images)), counts)
        copied = coco_summary([images[place] for place in places], [detections[place] for place in places])
        assert tuple(row) == pytest.approx(copied, abs=1e-12)


def test_class_without_truth_has_no_precision_and_does_not_drag_the_mean():
    figures = judged_at(AtScore(0.5), PARTS[:1], FOUND[:1]).figures()
    assert (figures["per_class"]["hole"]["ap50"], figures["map50"]) == (None, pytest.approx(1.0))


def test_model_that_finds_nothing_has_precision_zero():
    evaluation = judged_at(AtScore(0.5), PARTS, [found()] * 4)
    assert (evaluation.map50, evaluation.escapes, evaluation.missed_defects) == (0.0, Rate(2, 2), Rate(3, 3))


def test_escapes_and_false_rejects_are_counted_at_the_score():
    figures = judged_at(AtScore(0.7)).figures()
    assert (figures["escapes"], figures["ng_parts"], figures["escape_rate"]) == (1, 2, 0.5)
    assert (figures["false_rejects"], figures["ok_parts"], figures["false_reject_rate"]) == (0, 2, 0.0)
    assert (figures["missed_defects"], figures["defects"]) == (2, 3)
    assert figures["score"] == 0.7
    lower = judged_at(AtScore(0.2))
    assert (lower.escapes.count, lower.false_rejects.count, lower.missed_defects.count) == (0, 1, 0)


def test_each_class_has_its_own_counts():
    per_class = judged_at(AtScore(0.35)).figures()["per_class"]
    assert [per_class[name]["ng_parts"] for name in NAMES] == [1, 1]
    assert [per_class[name]["missed_defects"] for name in NAMES] == [1, 0]
    assert [per_class[name]["false_rejects"] for name in NAMES] == [1, 0]


def test_detection_beside_the_defect_does_not_find_it():
    evaluation = judged_at(AtScore(0.5), PARTS[1:3], [found((0.9, 1, 40, 40, 50, 50)), found()])
    assert (evaluation.escapes.count, evaluation.missed_defects.count) == (0, 1)


def test_rate_of_no_parts_is_none_and_not_zero():
    figures = judged_at(AtScore(0.5), PARTS[:2], FOUND[:2]).figures()
    assert (figures["ok_parts"], figures["false_reject_rate"], figures["false_reject_rate_ci95"]) == (0, None, None)
    clean = judged_at(AtScore(0.5), PARTS[2:], FOUND[2:]).figures()
    assert (clean["escape_rate"], clean["map50"], clean["map50_ci95"]) == (None, None, None)


def test_images_of_one_part_are_one_part():
    views = [replace(one, part="p") for one in (PARTS[0], PARTS[2])] + [replace(PARTS[3], part="q")]
    evaluation = judged_at(AtScore(0.2), views, [found(), FOUND[2], found()])
    assert (evaluation.escapes, evaluation.false_rejects) == (Rate(0, 1), Rate(0, 1))


def test_part_with_only_ignored_boxes_counts_nowhere():
    unclear = image((0, 0, 0, 10, 10), part="u", ignored=[0])
    evaluation = judged_at(AtScore(0.2), [unclear, *PARTS], [found((0.9, 0, 0, 0, 10, 10)), *FOUND])
    assert (evaluation.escapes.total, evaluation.false_rejects.total) == (2, 2)
    assert evaluation.missed_defects.total == 3
    assert evaluation.figures()["dataset"]["unclear_parts"] == 1


def test_rules_of_the_recipe_decide_on_parts():
    strict = recipe(burr=ClassRule(score=0.35), hole=ClassRule(score=0.5, min_size_px=11))
    evaluation = judged_at(ByRecipe(strict, NAMES, {"name": "tabs", "version": 2}))
    assert (evaluation.escapes, evaluation.false_rejects) == (Rate(1, 2), Rate(1, 2))
    assert evaluation.figures()["recipe"] == {"name": "tabs", "version": 2}
    assert len(evaluation.judged[0].defects) == 1
    assert evaluation.judged[0].others.scores.tolist() == pytest.approx([0.3])


def test_intervals_are_exact_and_know_that_no_error_is_no_proof():
    assert clopper_pearson(0, 161) == pytest.approx((0.0, 1 - 0.025 ** (1 / 161)))
    assert clopper_pearson(161, 161) == pytest.approx((0.025 ** (1 / 161), 1.0))
    # R: binom.test(20, 48)$conf.int, binom.test(1, 10)$conf.int
    assert clopper_pearson(20, 48) == pytest.approx((0.2761, 0.5679), abs=1e-4)
    assert clopper_pearson(1, 10) == pytest.approx((0.002529, 0.445016), abs=1e-6)
    low, high = clopper_pearson(300, 100_000)
    assert 0.00266 < low < 0.003 < high < 0.00337


def test_mcnemar_looks_at_the_discordant_parts_only():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(0, 6) == pytest.approx(2 * 0.5**6)
    assert mcnemar_p(3, 3) == 1.0


def test_auroc_is_the_share_of_pairs_in_order():
    scores, is_ng = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert auroc(scores, is_ng) == (1 + 1 + 0.5 + 1) / 4
    assert auroc(scores[:2], is_ng[:2]) is None
    weights = resample(4, 20)
    for value, counts in zip(resampled_auroc(scores, is_ng, ~is_ng, weights), weights, strict=True):
        copied = auroc(np.repeat(scores, counts), np.repeat(is_ng, counts))
        assert (copied is None and np.isnan(value)) or value == pytest.approx(copied)


def test_anomaly_model_is_measured_by_its_image_score():
    parts = [image(part="a", kind="dent"), image(part="b", kind="dent"), image(part="c"), image(part="d")]
    scores = [found(image_score=score) for score in (0.9, 0.3, 0.4, 0.1)]
    figures = judged_at(AtScore(0.5), parts, scores, task="anomaly", kinds=["dent"]).figures()
    assert (figures["image_auroc"], figures["escapes"], figures["false_rejects"]) == (0.75, 1, 0)
    assert figures["map50"] is None
    assert figures["per_class"]["dent"]["escapes"] == 1
    assert len(figures["image_auroc_ci95"]) == 2


def test_image_score_that_is_no_number_is_no_evidence_of_an_ok_part():
    evaluation = judged_at(AtScore(0.5), PARTS[2:3], [found(image_score=float("nan"))], task="anomaly")
    assert evaluation.false_rejects == Rate(1, 1)


def test_bootstrap_is_the_same_every_time_and_holds_the_figure():
    images, detections = random_set(1)
    figures = [judged_at(AtScore(0.5), images, detections).figures() for _ in range(2)]
    assert figures[0] == figures[1]
    low, high = figures[0]["map50_ci95"]
    assert low < figures[0]["map50"] < high


def test_chosen_score_lies_in_the_middle_of_the_best_range():
    # Up to 0.40 one of two clean parts is rejected, above 0.60 one of two NG parts escapes.
    chosen = WhatIf.of(PARTS, FOUND).choose()
    assert chosen is not None
    assert chosen.score == pytest.approx(0.505, abs=0.01)
    assert (chosen.escapes, chosen.false_rejects, chosen.missed_defects) == (Rate(0, 2), Rate(0, 2), Rate(1, 3))


def test_chosen_score_keeps_the_limits_or_there_is_none():
    parts, detections = [*PARTS, image(part="e")], [*FOUND, found((0.95, 0, 1, 1, 9, 9))]
    chosen = WhatIf.of(parts, detections).choose(Limits(escape_rate=0.0))
    assert chosen is not None
    assert (chosen.escapes.count, chosen.false_rejects.count) == (0, 1)
    assert WhatIf.of(parts, detections).choose(Limits(escape_rate=0.0, false_reject_rate=0.0)) is None
    kept = WhatIf.of(parts, detections).choose(Limits(false_reject_rate=1.0))
    assert kept is not None
    assert kept.escapes.count == 0


def test_score_of_one_class_looks_at_that_class_alone():
    outcome = WhatIf.of(PARTS, FOUND, class_id=1).at(0.5)
    assert (outcome.escapes, outcome.false_rejects, outcome.missed_defects) == (Rate(0, 1), Rate(0, 2), Rate(0, 1))


def test_comparison_of_a_model_with_itself_shows_no_difference():
    images, detections = random_set(2)
    same = judged_at(AtScore(0.5), images, detections, model={"name": "m"})
    comparison = compare(same, same, 200)
    assert all(one.better is None and one.difference == 0 for one in comparison.differences)
    assert comparison.verdict.startswith("No difference can be shown in mAP@0.5 ")


def test_comparison_says_who_is_better_in_what():
    images = [image((0, 0, 0, 10, 10), part=f"ng{number}") for number in range(20)]
    images += [image(part=f"ok{number}") for number in range(20)]
    good = [found((0.9, 0, 0, 0, 10, 10))] * 20 + [found()] * 20
    poor = [found((0.9, 0, 0, 0, 10, 10))] * 10 + [found()] * 10 + [found((0.95, 0, 0, 0, 9, 9))] * 20
    first, second = (
        judged_at(AtScore(0.5), images, rows, model={"name": name}) for name, rows in (("poor", poor), ("good", good))
    )
    figures = compare(first, second, 200).figures()
    assert {name: one["better"] for name, one in figures["differences"].items()} == dict.fromkeys(
        ("map50", "map50_95", "escape_rate", "false_reject_rate"), "B"
    )
    escapes = figures["differences"]["escape_rate"]
    assert (escapes["only_a"], escapes["only_b"], escapes["difference"]) == (10, 0, -0.5)
    assert figures["verdict"].startswith("B (good) is better in mAP@0.5 (+")
    assert "escapes (10 against 0 of 20)" in figures["verdict"]


def test_comparison_needs_the_same_images():
    with pytest.raises(DatasetError, match="expected two evaluations of the same images"):
        compare(judged_at(AtScore(0.5)), judged_at(AtScore(0.5), PARTS[:2], FOUND[:2]))


@pytest.fixture
def tiny(tmp_path):
    """The tiny detector and two parts: a bright cell, and none."""
    bundle = write_tiny_bundle(tmp_path / "tiny", fit="stretch")
    images = []
    for name, grey in (("ng", 240), ("ok", 20)):
        pixels = np.full((48, 64), 20, np.uint8)
        pixels[16:32, 16:32] = grey
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        rows = [(0, 16, 16, 32, 32)] if name == "ng" else []
        images.append(replace(image(*rows, part=name), path=tmp_path / f"{name}.png", size_px=(64, 48)))
    return bundle, Dataset(tmp_path, "made", None, ("bright",), tuple(images))


def test_bundle_is_run_and_measured_on_image_files(tiny):
    bundle, dataset = tiny
    seen = []
    evaluation = evaluate(bundle, dataset, progress=lambda done, total: seen.append((done, total)))
    assert evaluation.map50 == pytest.approx(1.0)
    assert (evaluation.escapes, evaluation.false_rejects) == (Rate(0, 1), Rate(0, 1))
    assert evaluation.figures()["model"]["contract_sha256"] == bundle.contract_sha256
    assert seen == [(2, 2)]


def test_image_of_another_size_than_its_label_is_refused(tiny):
    bundle, dataset = tiny
    changed = replace(dataset, images=(replace(dataset.images[0], size_px=(640, 480)),))
    with pytest.raises(DatasetError, match=r"ng\.png: its label was made for 640x480 px, the image has 64x48"):
        evaluate(bundle, changed)


def test_recipe_without_a_rule_for_a_class_is_refused_before_the_work(tiny):
    bundle, dataset = tiny
    with pytest.raises(ModelContractMismatch, match="no rule for class 'dark'"):
        evaluate(bundle, dataset, recipe().model_copy(update={"classes": {"bright": ClassRule(score=0.5)}}))


def test_advice_warns_of_the_test_split_and_of_few_parts(tiny):
    bundle, dataset = tiny
    advice = advise(bundle, replace(dataset, split="test"), Limits(escape_rate=0.01))
    assert advice["recommended"]["escapes"] == 0
    assert len(advice["warnings"]) == 2
    without = advise(bundle, replace(dataset, images=dataset.images[:1]), Limits())
    assert without["recommended"] is None
    assert "the set has no OK parts" in without["reason"]
