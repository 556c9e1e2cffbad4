"""Where a part lies, to a fraction of a px."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.learning.rules.alignment import align
from appliance.learning.rules.silhouette import find_outline, measured, signed_distance
from appliance.learning.tabs import REGIMES, render

SIZE = {"width_px": 320, "height_px": 240}
CLOSE_PX = 0.2


def good(seed: int) -> np.ndarray:
    return render(REGIMES["in"], seed, **SIZE, defective=False).pixels


def moved(pixels: np.ndarray, shift: tuple[float, float], degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Shift and turn an image about its middle; also the matrix that does it."""
    height, width = pixels.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    matrix[:, 2] += shift
    return cv2.warpAffine(
        pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ), matrix


REFERENCE = good(3)
OUTLINE, CONTOUR = measured(*find_outline(REFERENCE), [(REFERENCE, np.eye(2, 3))])


def apart_px(found: np.ndarray, true: np.ndarray) -> float:
    """How far the outline's points are off at most."""
    places = [OUTLINE.points @ matrix[:, :2].T + matrix[:, 2] for matrix in (found, true)]
    return float(np.linalg.norm(places[0] - places[1], axis=1).max())


@settings(max_examples=20)
@given(x=st.floats(-9, 9), y=st.floats(-9, 9), degrees=st.floats(-1.5, 1.5))
def test_a_known_shift_and_rotation_is_recovered_to_a_fraction_of_a_px(x, y, degrees):
    pixels, matrix = moved(REFERENCE, (x, y), degrees)
    found = align(pixels, REFERENCE, OUTLINE)
    assert found is not None
    assert apart_px(found, matrix) < CLOSE_PX


@pytest.mark.parametrize("gain", [0.75, 1.1])
def test_a_brighter_or_darker_lamp_moves_nothing(gain):
    pixels, matrix = moved(np.clip(REFERENCE * gain, 0, 255).astype(np.uint8), (3.4, -2.7), 0.6)
    assert apart_px(align(pixels, REFERENCE, OUTLINE), matrix) < CLOSE_PX


def test_a_missing_corner_is_outvoted_by_the_rest_of_the_outline():
    spoilt = REFERENCE.copy()
    rows, columns = np.nonzero(signed_distance(CONTOUR, REFERENCE.shape) < 0)
    top = rows.min()
    left = columns[rows < top + 8].min()
    cv2.circle(spoilt, (int(left), int(top)), 22, int(REFERENCE[2, 2]), -1)
    pixels, matrix = moved(spoilt, (4.2, 1.3), -0.8)
    assert apart_px(align(pixels, REFERENCE, OUTLINE), matrix) < 2 * CLOSE_PX


def test_an_empty_frame_has_no_part():
    assert align(np.full_like(REFERENCE, 220), REFERENCE, OUTLINE) is None


def test_distances_are_signed_and_in_px():
    box = np.array([[10, 10], [30, 10], [30, 25], [10, 25]], np.float64)
    distance = signed_distance(box, (40, 50))
    assert distance[17, 35] == pytest.approx(5, abs=0.3)
    assert distance[17, 14] == pytest.approx(-4, abs=0.3)
    assert abs(distance[10, 20]) < 0.3
