"""Tuning: the same seed gives the same parameters, never worse ones, within the budget."""

import cv2
import numpy as np
import pytest

from appliance.learning.datasets import LabelledImage
from appliance.learning.rules import Rules, declared, flat, make_method
from appliance.learning.rules.board import KINDS
from appliance.learning.rules.parameter import changed
from appliance.learning.rules.tuning import Bench, Budget, tune
from appliance.testing.drawn_boards import clean, with_defect


@pytest.fixture
def images(tmp_path) -> list[LabelledImage]:
    """One board with each kind of defect, and as many clean ones."""
    labelled = []
    for number, kind in enumerate((*KINDS, *[None] * len(KINDS))):
        pixels, box = with_defect(kind) if kind else (clean(), None)
        path = tmp_path / f"{number}.png"
        assert cv2.imwrite(str(path), np.roll(pixels, number, axis=1))
        moved = [] if box is None else [(box[0] + number, box[1], box[2] + number, box[3])]
        labelled.append(
            LabelledImage(
                path=path,
                part=path.name,
                boxes=np.array(moved, np.float32).reshape(-1, 4),
                class_ids=np.array([KINDS.index(kind)] if kind else [], np.int64),
                is_ignored=np.zeros(len(moved), np.bool_),
            )
        )
    return labelled


@pytest.fixture
def rules() -> Rules:
    """Rules that were set badly: pin-holes escape, and boxes are far too large."""
    method = make_method("morphology", ())
    badly = changed(method.parameters.model_validate({}), {"limits.hole_least_px": 100.0, "limits.box_margin_px": 10.0})
    return Rules.of(method, KINDS, parameters=badly)


def test_a_tuning_is_repeated_by_its_seed_and_never_ends_worse(rules, images):
    first, again = (tune(rules, images, Budget(trials=40, seed=3)) for _ in range(2))
    assert first.best == again.best
    assert first.trials == 40
    assert not first.first.beats(first.best)
    assert first.best.parameters != rules.parameters
    assert tune(rules, images, Budget(trials=40, seed=4)).best.parameters != first.best.parameters


def test_a_tuned_value_keeps_its_limits(rules, images):
    values = flat(tune(rules, images, Budget(trials=16, seed=1)).best.parameters)
    assert all(one.low <= values[one.name] <= one.high for one in declared(rules.parameters))


def test_what_was_measured_in_a_trial_is_what_the_rules_then_do(rules, images):
    best = tune(rules, images, Budget(trials=10, seed=3)).best
    tuned = Rules(rules.method, best.parameters, rules.class_names, rules.renamed)
    rejected = [
        bool(
            (tuned.detect(cv2.imread(str(image.path), cv2.IMREAD_GRAYSCALE), image).scores >= best.outcome.score).any()
        )
        for image in images
    ]
    escapes = sum(image.is_ng and not is_ng for image, is_ng in zip(images, rejected, strict=True))
    false_rejects = sum(image.is_ok and is_ng for image, is_ng in zip(images, rejected, strict=True))
    assert (escapes, false_rejects) == (best.outcome.escapes.count, best.outcome.false_rejects.count)


def test_a_change_of_limits_needs_no_second_look_at_pixels(rules, images):
    bench = Bench(rules, images)
    bench.trial(rules.parameters)
    known = [*bench._candidates.values()]
    limits = rules.parameters.limits.model_copy(update={"hole_least_px": 9.0})
    bench.trial(rules.parameters.model_copy(update={"limits": limits}))
    assert [*bench._candidates.values()] == known


def test_a_budget_of_time_ends_the_search_early(rules, images):
    assert tune(rules, images, Budget(trials=1_000_000, most_seconds=0.0)).trials == 1
