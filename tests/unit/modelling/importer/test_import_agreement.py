import numpy as np

from appliance.modelling.importer.agreement import farthest_apart, say_the_same


def test_distance_is_relative_above_one_and_absolute_below() -> None:
    assert farthest_apart([np.array([200.0, 0.5])], [np.array([100.0, 0.5])]) == 1.0
    assert farthest_apart([np.array([0.75])], [np.array([0.5])]) == 0.25


def test_nan_equals_nan_and_nothing_else() -> None:
    nan = np.array([np.nan, np.inf])
    assert farthest_apart([nan], [nan]) == 0
    assert farthest_apart([nan], [np.array([0.0, np.inf])]) == np.inf


def test_other_shapes_are_infinitely_far() -> None:
    assert farthest_apart([np.zeros((1, 2))], [np.zeros((2, 1))]) == np.inf


def test_two_ranked_rows_may_change_places() -> None:
    rows = np.linspace(0, 1, 300)[None, :, None] * np.array([1, 100, -5])
    swapped = rows.copy()
    swapped[:, [7, 8]] = rows[:, [8, 7]]
    assert say_the_same([swapped], [rows], 1e-3)


def test_a_column_that_differs_is_not_excused_by_the_others() -> None:
    rows = np.zeros((1, 300, 84))
    shifted = rows.copy()
    shifted[..., 0] = 5
    assert not say_the_same([shifted], [rows], 1e-3)
