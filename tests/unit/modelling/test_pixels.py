import numpy as np
import pytest

from appliance.errors import ModelContractMismatch
from appliance.modelling.pixels import to_mono8

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def test_mono8_is_the_very_same_memory() -> None:
    assert np.shares_memory(to_mono8(GREY, "Mono8"), GREY)


def test_mono16_keeps_the_top_byte() -> None:
    assert np.array_equal(to_mono8(GREY.astype(np.uint16) << 8 | 0xFF, "Mono16"), GREY)


def test_grey_rgb_keeps_its_value() -> None:
    assert np.array_equal(to_mono8(np.stack([GREY] * 3, axis=2), "RGB8"), GREY)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255)], ids=["red", "green", "blue"])
def test_bayer_and_rgb_of_one_scene_have_one_grey_value(colour: tuple[int, int, int]) -> None:
    red, green, blue = colour
    mosaic = np.empty((8, 8), np.uint8)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2] = red, green, green, blue
    scene = np.full((8, 8, 3), colour, np.uint8)
    inner = to_mono8(mosaic, "BayerRG8")[2:-2, 2:-2].astype(int)
    assert np.abs(inner - to_mono8(scene, "RGB8")[2:-2, 2:-2]).max() <= 1


def test_unknown_format_is_refused_with_a_way_out() -> None:
    with pytest.raises(ModelContractMismatch, match="set the camera's PixelFormat to Mono8"):
        to_mono8(GREY, "Mono12Packed")
