import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.learning.capture.likeness import ANYTHING, Likeness, as_text, from_text
from appliance.learning.capture.outliers import LEAST, OutlierRule
from appliance.learning.datasets.perceptual_hash import ALIKE_BITS, distances

KIND = ("cam0", "OK")
OTHER = ("cam0", "NG open*1")


def look(*bits: int) -> np.ndarray:
    """A hash with these bits set."""
    signs = np.zeros(256, np.bool_)
    signs[list(bits)] = True
    return np.packbits(signs).view(np.uint64)


def random_look(rng: np.random.Generator) -> np.ndarray:
    return np.packbits(np.append(rng.random(255) < 0.5, False)).view(np.uint64)


@given(st.lists(st.integers(0, 254), max_size=40))
def test_a_hash_survives_the_manifest(bits):
    assert distances(from_text(as_text(look(*bits))), look(*bits)[None]).tolist() == [0]


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "0" * 66])
def test_what_is_no_hash_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|hexadecimal"):
        from_text(text)


def test_scenes_that_differ_much_leave_the_usual_limit():
    likeness, rng = Likeness(), np.random.default_rng(0)
    for _ in range(50):
        likeness.learn(random_look(rng))
    assert likeness.limit_bits == ALIKE_BITS


def test_parts_in_one_fixture_that_look_alike_lower_the_limit_so_that_each_is_its_own():
    likeness, rng = Likeness(), np.random.default_rng(0)
    parts = [look(*rng.choice(60, 8, replace=False)) for _ in range(60)]
    taken = 0
    for part in parts:
        likeness.learn(part)
        if likeness.find(KIND, part, likeness.limit_bits) is None:
            likeness.add(KIND, "", part)
            taken += 1
    assert 0 < likeness.limit_bits < 10
    assert taken > 50


def test_the_very_same_look_says_nothing_about_how_much_parts_differ():
    likeness, rng = Likeness(), np.random.default_rng(1)
    looks = [random_look(rng) for _ in range(20)]
    for one in [*looks, *looks, *looks]:
        likeness.learn(one)
    assert likeness.limit_bits == ALIKE_BITS


def test_nearest_are_kept_in_a_window_and_equal_those_counted_anew():
    likeness, rng = Likeness(), np.random.default_rng(2)
    looks = [random_look(rng) for _ in range(40)]
    for one in looks:
        likeness.learn(one)
    anew = [int(np.delete(distances(one, np.stack(looks)), place).min()) for place, one in enumerate(looks)]
    assert likeness._nearest == anew


def test_only_pictures_of_one_kind_are_duplicates_but_unknown_ones_are_of_any():
    likeness = Likeness()
    likeness.add(KIND, "a.png", look(1, 2))
    likeness.add(ANYTHING, "mine.png", look(100, 101, 102))
    assert likeness.find(KIND, look(1, 2, 3), 5) == ("a.png", 1)
    assert likeness.find(OTHER, look(1, 2, 3), 5) is None
    assert likeness.find(OTHER, look(100, 101), 5) == ("mine.png", 1)


def test_a_given_limit_stays():
    likeness = Likeness(3)
    for number in range(10):
        likeness.learn(look(number))
    assert likeness.limit_bits == 3


def test_a_figure_far_from_the_recent_median_is_an_outlier_and_a_lasting_change_is_not():
    rule, rng = OutlierRule(), np.random.default_rng(0)
    said = [rule.judge("cam0", {"mean_grey": float(g)}) for g in rng.normal(120, 2, 300)]
    assert said == [None] * 300
    first = rule.judge("cam0", {"mean_grey": 150.0})
    assert first is not None
    assert (first["figure"], first["value"]) == ("mean_grey", 150.0)
    later = [rule.judge("cam0", {"mean_grey": float(g)}) for g in rng.normal(150, 2, 200)]
    assert later[-100:] == [None] * 100
    assert rule.judge("cam0", {"mean_grey": 120.0}) is not None


def test_few_frames_and_other_cameras_judge_nobody():
    rule = OutlierRule()
    assert [rule.judge("cam0", {"sharpness": float(number)}) for number in range(LEAST)] == [None] * LEAST
    assert rule.judge("cam1", {"sharpness": 1000.0}) is None
    assert rule.judge("cam0", {"sharpness": 1000.0}) is not None


def test_a_still_picture_may_flicker():
    rule = OutlierRule()
    for _ in range(LEAST):
        rule.judge("cam0", {"mean_grey": 100.0})
    assert rule.judge("cam0", {"mean_grey": 101.0}) is None
    assert rule.judge("cam0", {"mean_grey": 130.0}) is not None
