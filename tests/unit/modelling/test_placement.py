import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ModelContractMismatch
from appliance.modelling import ModelInput, Placement, fit


def model_input(width: int = 640, height: int = 640, how: str = "letterbox") -> ModelInput:
    return ModelInput.model_validate(
        {
            "name": "images",
            "layout": "NCHW",
            "dtype": "uint8",
            "pixel_format": "Mono8",
            "height": height,
            "width": width,
            "fit": how,
            "pad_value": 255,
        }
    )


sizes = st.integers(1, 900)


@given(width=sizes, height=sizes, model_width=sizes, model_height=sizes, data=st.data())
def test_box_comes_back_where_it_was_after_the_round_trip(width, height, model_width, model_height, data):
    place = fit(np.zeros((height, width), np.uint8), model_input(model_width, model_height))[1]
    xs = sorted(data.draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    ys = sorted(data.draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    box = np.array([[xs[0], ys[0], xs[1], ys[1]]], np.float32)
    np.testing.assert_allclose(place.to_image(place.to_model_input(box)), box, rtol=1e-4, atol=1e-2)


@given(width=sizes, height=sizes, model_width=sizes, model_height=sizes)
def test_frame_lies_whole_and_centred_in_the_model_input(width, height, model_width, model_height):
    array, place = fit(np.zeros((height, width), np.uint8), model_input(model_width, model_height))
    assert array.shape == (model_height, model_width)
    frame = place.to_model_input(np.array([[0, 0, width, height]], np.float32))[0]
    assert (frame >= -1e-3).all()
    assert frame[2] <= model_width + 1.01  # a frame of less than half a pixel there is one pixel all the same
    assert frame[3] <= model_height + 1.01
    assert abs((model_width - frame[2]) - frame[0]) <= 1.51
    assert abs((model_height - frame[3]) - frame[1]) <= 1.51


def test_frame_of_the_right_size_is_passed_on_without_a_copy():
    frame = np.zeros((640, 640), np.uint8)
    array, place = fit(frame, model_input())
    assert array is frame
    assert place.is_identity


def test_letterbox_puts_the_picture_in_the_middle_and_pads_with_the_contract_s_grey():
    array, place = fit(np.zeros((320, 640), np.uint8), model_input())
    assert (array[:160] == 255).all()
    assert (array[160:480] == 0).all()
    assert (array[480:] == 255).all()
    assert (place.scale_x, place.offset_y_px) == (1.0, 160.0)


def test_letterboxed_boxes_go_back_by_the_rounded_size_of_each_side():
    array, place = fit(np.zeros((3, 1000), np.uint8), model_input())
    assert int((array == 0).any(axis=1).sum()) == 2
    assert (place.scale_x, place.scale_y) == (pytest.approx(0.64), pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("letterbox", Placement(427, 301, 320 / 427, 226 / 301, 0.0, 47.0)),
        ("letterbox_gain", Placement(427, 301, 320 / 427, 320 / 427, 0.0, 47.0)),
        ("letterbox_unrounded", Placement(427, 301, 320 / 427, 320 / 427, 0.0, (320 - 301 * 320 / 427) / 2)),
    ],
)
def test_the_picture_lies_in_the_middle_and_boxes_go_back_as_each_version_does_it(how, expected):
    array, place = fit(np.zeros((301, 427), np.uint8), model_input(320, 320, how))
    assert (array == 0).any(axis=1).nonzero()[0].tolist() == list(range(47, 47 + 226))
    assert place == expected


def test_floor_letterbox_cuts_the_size_off_and_puts_the_picture_in_the_middle():
    array, place = fit(np.zeros((333, 500), np.uint8), model_input(416, 416, "letterbox_floor"))
    assert place == Placement(500, 333, 0.832, 0.832, 0.0, float((416 - 277) // 2))
    assert (array == 0).any(axis=1).nonzero()[0].tolist() == list(range(69, 69 + 277))


def test_top_left_letterbox_cuts_the_size_off_and_pads_to_the_right_and_below():
    array, place = fit(np.zeros((333, 500), np.uint8), model_input(416, 416, "letterbox_top_left"))
    assert place == Placement(500, 333, 0.832, 0.832)
    assert int((array == 0).any(axis=1).sum()) == int(333 * 0.832)
    assert (array[:, 415] == 0).sum() == int(333 * 0.832)


def test_stretched_frame_fills_the_model_input_with_a_scale_for_each_axis():
    array, place = fit(np.zeros((300, 500), np.uint8), model_input(640, 480, "stretch"))
    assert (array == 0).all()
    assert place == Placement(500, 300, 1.28, 1.6)


def test_boxes_are_clipped_to_the_frame():
    place = Placement(100, 50)
    np.testing.assert_array_equal(
        place.to_image(np.array([[-5, -5, 200, 200]], np.float32)), np.array([[0, 0, 100, 50]], np.float32)
    )


@pytest.mark.parametrize(
    "frame",
    [np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint16), np.zeros((0, 10), np.uint8)],
    ids=["colour", "16 bit", "empty"],
)
def test_frame_that_is_not_mono8_is_refused(frame):
    with pytest.raises(ModelContractMismatch, match="expected"):
        fit(frame, model_input())


def test_exact_model_refuses_another_size_and_says_both():
    with pytest.raises(ModelContractMismatch, match=r"expected 640x640 px, got 320x240"):
        fit(np.zeros((240, 320), np.uint8), model_input(how="exact"))
