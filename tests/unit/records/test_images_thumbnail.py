import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.messages import BYTES_PER_PIXEL
from appliance.records.image_plan import ImageJob, plan_images
from appliance.records.thumbnail import draw_thumbnail
from appliance.ring import Pixels
from appliance.testing.image_records import defect, noise, picture_record


def thumbnail(pixels: Pixels, pixel_format: str = "Mono8", *, px: int = 320, **fields: object) -> NDArray[np.uint8]:
    job = ImageJob(plan_images(picture_record(**{"verdict": "NG", **fields}))[0], pixels, pixel_format)
    picture = cv2.imdecode(np.frombuffer(draw_thumbnail(job, px), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def black(width: int, height: int) -> Pixels:
    return np.zeros((height, width), np.uint8)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (32, 24)], ids=["landscape", "portrait", "tiny"])
def test_the_longer_side_is_as_configured(width: int, height: int) -> None:
    picture = thumbnail(black(width, height), px=320)
    bar_px = picture.shape[0] - round(320 * height / max(width, height))
    assert picture.shape[1] == round(320 * width / max(width, height))
    assert 10 < bar_px < 30


@pytest.mark.parametrize(("verdict", "channel"), [("OK", 1), ("NG", 2)])
def test_the_bar_has_the_verdicts_colour(verdict: str, channel: int) -> None:
    corner = thumbnail(black(640, 480), verdict=verdict)[1, -2]
    assert corner.argmax() == channel


def test_a_defects_box_surrounds_it_where_it_is() -> None:
    picture = thumbnail(black(640, 640), defects=[defect("whole", (320.0, 320.0, 480.0, 400.0))])
    bar_px = picture.shape[0] - 320
    red = picture[bar_px:, :, 2] > 128
    assert red[160:200, 160:240][4:-4, 4:-4].sum() == 0  # nothing is drawn over the defect
    assert red[180, 157:160].any()
    assert red[180, 240:243].any()
    assert red[200:203, 200].any()


def test_captions_are_never_cut_off() -> None:
    narrow = thumbnail(black(20, 640), verdict="UNKNOWN", reason="incomplete_frame", inspection_id=123456789)
    wide = thumbnail(black(640, 640), verdict="UNKNOWN", reason="incomplete_frame", inspection_id=123456789)
    bar_px = narrow.shape[0] - 320
    letters = [np.flatnonzero((picture[:bar_px].min(axis=2) > 128).any(axis=0)) for picture in (narrow, wide)]
    assert np.ptp(letters[0]) == np.ptp(letters[1])


@pytest.mark.parametrize("pixel_format", sorted(BYTES_PER_PIXEL))
@pytest.mark.parametrize(("width", "height"), [(2, 2), (4000, 2), (64, 48)])
def test_every_frame_has_a_thumbnail(pixel_format: str, width: int, height: int) -> None:
    box = defect("whole", (0.0, 0.0, float(width), float(height)), class_name="毛刺", defect_code=None)
    assert thumbnail(noise(pixel_format, width=width, height=height), pixel_format, defects=[box]).size


@pytest.mark.parametrize("pixel_format", ["RGB8", "BayerRG8"])
def test_red_parts_look_red(pixel_format: str) -> None:
    pixels = np.zeros((64, 64, 3) if pixel_format == "RGB8" else (64, 64), np.uint8)
    if pixel_format == "RGB8":
        pixels[..., 0] = 255
    else:
        pixels[0::2, 0::2] = 255
    assert thumbnail(pixels, pixel_format)[-20, 20].argmax() == 2


def test_grey_of_16_bits_keeps_its_brightness() -> None:
    assert abs(int(thumbnail(np.full((64, 64), 0x8000, np.uint16), "Mono16")[-20, 20, 0]) - 128) <= 2
