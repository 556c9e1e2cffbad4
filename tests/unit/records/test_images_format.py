import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.messages import BYTES_PER_PIXEL, FrameGeometry
from appliance.records.image_format import ImageFormat, encode, identify
from appliance.ring import Pixels
from appliance.testing.image_records import noise

FORMATS = sorted(BYTES_PER_PIXEL)


def content_of(pixels: Pixels, pixel_format: str, image_format: ImageFormat) -> bytes:
    return b"".join(encode(pixels, pixel_format, image_format).parts)


def decoded(content: bytes) -> Pixels:
    """Read a file with OpenCV's decoders, which know nothing of us."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if picture.ndim == 3 else picture


@pytest.mark.parametrize("image_format", ["png", "raw"])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_no_pixel_is_lost_on_the_way_to_a_file_and_back(pixel_format: str, image_format: ImageFormat) -> None:
    pixels = noise(pixel_format)
    read = decoded(content_of(pixels, pixel_format, image_format))
    assert read.dtype == pixels.dtype
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize("image_format", ["png", "raw"])
def test_red_stays_red(image_format: ImageFormat) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[..., 0] = 255
    content = content_of(pixels, "RGB8", image_format)
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    assert tuple(bgr[0, 0]) == (0, 0, 255)


def test_netpbm_samples_of_16_bits_are_big_endian() -> None:
    pixels = np.array([[0x0102, 0xFFF0]], "<u2")
    assert content_of(pixels, "Mono16", "raw") == b"P5\n# PixelFormat Mono16\n2 1\n65535\n\x01\x02\xff\xf0"


@pytest.mark.parametrize("image_format", ["png", "raw"])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_file_says_what_the_camera_delivered(pixel_format: str, image_format: ImageFormat) -> None:
    encoded = encode(noise(pixel_format), pixel_format, image_format)
    assert encoded.suffix == ("png" if image_format == "png" else "ppm" if pixel_format == "RGB8" else "pgm")
    assert identify(b"".join(encoded.parts)) == FrameGeometry(64, 48, pixel_format)


@given(
    pixel_format=st.sampled_from(FORMATS),
    image_format=st.sampled_from(["png", "raw"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    cut=st.integers(1, 10_000),
)
def test_a_truncated_file_is_never_taken_for_an_image(
    pixel_format: str, image_format: ImageFormat, width: int, height: int, cut: int
) -> None:
    content = content_of(noise(pixel_format, width=width, height=height), pixel_format, image_format)
    assert identify(content) == FrameGeometry(width, height, pixel_format)
    assert identify(content[: -min(cut, len(content))]) is None
    assert identify(content + b"\0") is None


@given(at=st.integers(0, 3000), flipped=st.integers(1, 255))
def test_a_damaged_png_is_never_taken_for_an_image(at: int, flipped: int) -> None:
    content = bytearray(content_of(noise("Mono8"), "Mono8", "png"))
    content[at % len(content)] ^= flipped
    assert identify(bytes(content)) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"P5\n2 2\n255\n1234", b"P5\n# PixelFormat Mono7\n2 2\n255\n1234", b"\x89PNG\r\n\x1a\n", b"GIF89a"],
    ids=["empty", "no pixel format", "unknown pixel format", "only a signature", "something else"],
)
def test_other_files_are_not_ours(content: bytes) -> None:
    assert identify(content) is None


def test_a_png_of_somebody_else_is_not_ours() -> None:
    _, png = cv2.imencode(".png", noise("Mono8"))
    assert identify(png.tobytes()) is None
