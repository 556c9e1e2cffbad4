"""The shipped detector lends its features; good parts are stripes in noise."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ModelError
from appliance.modelling.anomaly.fit import AnomalyPlan, Fitted, fit_anomaly
from appliance.modelling.anomaly.memory import remember
from appliance.modelling.bundle_files import load_bundle
from appliance.modelling.detector import Detector
from appliance.testing.tiny_detector import write_tiny_bundle

SHIPPED = Path(__file__).parents[3] / "models" / "deeppcb-nano"
WIDTH, HEIGHT = 128, 96


def stripes(seed: int, spot: tuple[int, int] | None = None) -> np.ndarray:
    """A good part; with `spot`, x and y of a bright disc that doesn't belong there."""
    x = np.arange(WIDTH)
    pixels = np.where(x // 8 % 2, 180.0, 60.0)[None].repeat(HEIGHT, axis=0)
    pixels += np.random.default_rng(seed).normal(0, 4, pixels.shape)
    if spot is not None:
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
        pixels[(x - spot[0]) ** 2 + (y - spot[1]) ** 2 < 64] = 250
    return np.clip(pixels, 0, 255).astype(np.uint8)


def plan(**changes: object) -> AnomalyPlan:
    given = AnomalyPlan("stripes", load_bundle(SHIPPED), WIDTH, HEIGHT, points=64)
    return dataclasses.replace(given, **changes)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    good = [stripes(seed) for seed in range(10)]
    return fit_anomaly(plan(), good, tmp_path_factory.mktemp("models") / "stripes", lambda *_: None)


def test_good_parts_are_ok_and_a_spot_is_found_where_it_is(fitted: Fitted) -> None:
    detector = Detector(fitted.bundle, max_batch=3)
    good, left, right = detector.detect([stripes(99), stripes(98, (30, 40)), stripes(97, (100, 60))])
    assert good.image_score is not None
    assert len(good) == 0
    for found, (x, y) in ((left, (30, 40)), (right, (100, 60))):
        assert found.image_score is not None
        assert found.image_score > good.image_score
        x1, y1, x2, y2 = found.boxes_in_image[0]
        assert x1 < x < x2
        assert y1 < y < y2


def test_bundle_is_whole_and_says_what_it_was_made_of(fitted: Fitted) -> None:
    bundle = fitted.bundle
    assert (bundle.task, bundle.family, bundle.class_names) == ("anomaly", "anomaly_map", ("anomaly",))
    assert bundle.source is not None
    assert bundle.source.sha256 == load_bundle(SHIPPED).sha256
    assert "memory of 10 good pictures" in bundle.source.producer


def test_threshold_lies_above_most_pictures_that_the_memory_never_saw(fitted: Fitted) -> None:
    assert len(fitted.held_out_scores) == 10
    assert np.median(fitted.held_out_scores) < fitted.threshold


def test_same_pictures_give_the_same_network(fitted: Fitted, tmp_path: Path) -> None:
    again = fit_anomaly(plan(), [stripes(seed) for seed in range(10)], tmp_path / "stripes", lambda *_: None)
    assert again.bundle.sha256 == fitted.bundle.sha256


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    good = [stripes(seed) for seed in range(8)]
    with pytest.raises(ModelError, match="expected at least 8 good pictures, got 7"):
        fit_anomaly(plan(), good[:7], tmp_path / "few", lambda *_: None)
    with pytest.raises(ModelError, match="expected an input of multiples of 16 px, 64 at least, got 100x96"):
        fit_anomaly(plan(width_px=100), good, tmp_path / "size", lambda *_: None)
    with pytest.raises(ModelError, match="no convolution of stride 2 was found"):
        fit_anomaly(plan(detector=write_tiny_bundle(tmp_path / "tiny")), good, tmp_path / "none", lambda *_: None)


def test_memory_keeps_places_that_are_far_apart() -> None:
    features = np.zeros((2, 3, 4, 4), np.float32)
    features[1, 0, 2, 2] = 5
    memory = remember(features, size=2, position_weight=0)
    spread = np.abs(memory.points[0] - memory.points[1]).max()
    assert len(memory.points) == 2
    assert spread > 1
    assert len(remember(features, size=10, position_weight=0).points) == 2  # no place is kept twice
