import numpy as np
import pytest

from appliance.inspection.examiner import finite_rows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_frame_with_a_number_that_is_not_finite_is_found(bad: float) -> None:
    boxes, scores = np.zeros((3, 4, 10), np.float32), np.zeros((3, 10), np.float32)
    assert finite_rows([boxes, scores], 3) == [True, True, True]
    boxes[1, 2, 5] = bad
    scores[2, 0] = bad
    assert finite_rows([boxes, scores], 3) == [True, False, False]


def test_infinities_of_both_signs_do_not_cancel() -> None:
    output = np.zeros((1, 4), np.float32)
    output[0, :2] = np.inf, -np.inf
    assert finite_rows([output], 1) == [False]
