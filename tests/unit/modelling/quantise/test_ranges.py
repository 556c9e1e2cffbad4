import numpy as np
import pytest

from appliance.errors import ModelError
from appliance.modelling.quantise.diverse import choose_diverse, describe
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.ranges import BINS, Histogram, choose_ranges, look
from appliance.testing.convolving_detector import convolving_network, frame_with_square


def histogram(values: np.ndarray) -> Histogram:
    counts, _ = np.histogram(values, BINS)
    return Histogram(float(values.min()), float(values.max()), counts.astype(np.int64))


def normal_with_outlier() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=100_000)
    return np.append(values, 100.0)


def test_minmax_takes_all_that_was_seen():
    low, high = choose_ranges("minmax", {"x": histogram(normal_with_outlier())})["x"]
    assert (low, high) == (pytest.approx(-4, abs=1), 100.0)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_an_outlier_is_cut_off(method):
    low, high = choose_ranges(method, {"x": histogram(normal_with_outlier())})["x"]
    assert -6 < low < -2
    assert 2 < high < 20


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_an_activation_range_still_begins_at_zero(method):
    values = np.maximum(np.random.default_rng(1).normal(size=50_000), 0)
    low, high = choose_ranges(method, {"x": histogram(values)})["x"]
    assert low == 0.0
    assert 1.0 < high <= values.max()


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_a_constant_tensor_has_its_value_as_range(method):
    counts = np.zeros(BINS, np.int64)
    counts[0] = 50
    assert choose_ranges(method, {"x": Histogram(0.0, 0.0, counts)})["x"] == (0.0, 0.0)


def test_every_value_of_the_calibration_frames_is_counted_once():
    graph = Graph(convolving_network(0.0, 0.0))
    frames = [frame_with_square(left, seed=left)[None, None] for left in (0, 16, 32)]
    told: list[tuple[int, int]] = []
    seen = look(graph, {"second"}, "images", frames, lambda done, total: told.append((done, total)))
    assert set(seen) == {"seen", "second"}
    assert seen["second"].counts.sum() == 3 * 8 * 12 * 16
    assert told[-1] == (6, 6)


def test_a_network_that_overflows_is_refused():
    graph = Graph(convolving_network(0.0, float("inf")))
    with pytest.raises(ModelError, match="NaN or infinite"):
        look(graph, {"stem"}, "images", [frame_with_square(0)[None, None]], lambda done, total: None)


def test_the_choice_of_images_is_diverse_and_always_the_same():
    frames = [np.full((32, 32), 100, np.uint8) for _ in range(8)]
    frames[3][:, :16], frames[5][:] = 255, 0
    descriptions = [describe(frame, "Mono8") for frame in frames]
    chosen = choose_diverse(descriptions, 5)
    assert {3, 5} < set(chosen)
    assert len(chosen) == 5
    assert chosen == choose_diverse(descriptions, 5)
    assert choose_diverse(descriptions, 100) == list(range(8))
