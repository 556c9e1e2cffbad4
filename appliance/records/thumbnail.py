"""The small picture for people: the frame scaled, its defects boxed and named, verdict and inspection id on a bar."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.messages import VerdictWord
from appliance.records.image_plan import ImageJob
from appliance.ring import Pixels

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

_COLOURS: dict[str, Colour] = {  # blue, green, red
    VerdictWord.OK.name: (60, 160, 0),
    VerdictWord.NG.name: (40, 40, 230),
    VerdictWord.UNKNOWN.name: (0, 150, 240),
}
_WHITE: Colour = (255, 255, 255)
_REGION: Colour = (200, 200, 0)
_DRAWS_UNICODE = int(cv2.__version__.split(".")[0]) >= 5  # earlier ones draw "??" for what isn't ASCII
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.45
_MARGIN_PX = 4
_JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 85]


def draw_thumbnail(job: ImageJob, longer_side_px: int) -> bytes:
    """Draw a frame's thumbnail.

    Args:
        longer_side_px: Of the scaled frame; the bar with the verdict comes on top of it.
    Returns:
        A JPEG file's content.
    Raises:
        cv2.error: The picture was refused.
    """
    colour = _COLOURS[job.plan.verdict]
    picture = _scaled(job.pixels, job.pixel_format, longer_side_px)
    scale = picture.shape[1] / job.pixels.shape[1], picture.shape[0] / job.pixels.shape[0]
    if len(job.plan.views) > 1:
        for name, region in zip(job.plan.views, job.plan.regions_px, strict=True):
            if region is not None:
                _draw_box(picture, _on(region, scale), _readable(name), _REGION)
    for defect in reversed(job.plan.defects):  # the highest score comes first, and is drawn on top
        _draw_box(picture, _on(defect["box_px"], scale), _label(defect), colour)
    is_done, jpeg = cv2.imencode(".jpg", _with_bar(picture, job.plan.caption, colour), _JPEG_OPTIONS)
    if not is_done:
        raise cv2.error(f"no JPEG came of {picture.shape}")
    return jpeg.tobytes()


def _scaled(pixels: Pixels, pixel_format: str, longer_side_px: int) -> Picture:
    """Scale a frame and bring it to blue, green, red; a mosaic must become a picture first."""
    if pixel_format == "BayerRG8":
        # Not COLOR_BayerRG2RGB: OpenCV's old names start at the second pixel of the second row.
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2RGB), np.uint8)
    height, width = pixels.shape[:2]
    factor = longer_side_px / max(width, height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    if pixel_format == "Mono16":
        small = np.right_shift(small, 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR if small.ndim == 2 else cv2.COLOR_RGB2BGR), np.uint8)


def _on(box_px: tuple[float, float, float, float], scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Carry a box of the frame over to the thumbnail: corners, both inside the box."""
    x1, y1, x2, y2 = box_px
    left, top = int(x1 * scale[0]), int(y1 * scale[1])
    return left, top, max(left, round(x2 * scale[0]) - 1), max(top, round(y2 * scale[1]) - 1)


def _draw_box(picture: Picture, box: tuple[int, int, int, int], label: str, colour: Colour) -> None:
    """Draw a box and its label: above it where there is room, else below, always inside the picture."""
    left, top, right, bottom = box
    cv2.rectangle(picture, (left - 1, top - 1), (right + 1, bottom + 1), colour, 2)  # around, not over, the defect
    (width, height), _ = cv2.getTextSize(label, _FONT, _FONT_SCALE, 1)
    high = height + _MARGIN_PX
    x = max(0, min(left, picture.shape[1] - width - 2))
    y = top - high if top >= high else max(0, min(bottom + 1, picture.shape[0] - high))
    cv2.rectangle(picture, (x, y), (x + width + 1, y + high - 1), colour, cv2.FILLED)
    _write(picture, label, (x + 1, y + height + 1))


def _with_bar(picture: Picture, caption: str, colour: Colour) -> Picture:
    """Put a bar with the caption on top; a narrow picture gets a margin, so that the caption stays whole."""
    (width, height), _ = cv2.getTextSize(caption, _FONT, _FONT_SCALE, 1)
    bar_px = height + 2 * _MARGIN_PX
    canvas = np.zeros((picture.shape[0] + bar_px, max(picture.shape[1], width + 2 * _MARGIN_PX), 3), np.uint8)
    canvas[:bar_px] = colour
    canvas[bar_px:, : picture.shape[1]] = picture
    _write(canvas, caption, (_MARGIN_PX, bar_px - _MARGIN_PX))
    return canvas


def _write(picture: Picture, text: str, origin: tuple[int, int]) -> None:
    cv2.putText(picture, text, origin, _FONT, _FONT_SCALE, _WHITE, 1, cv2.LINE_AA)


def _label(defect: Mapping[str, Any]) -> str:
    """Name a defect in letters that can be drawn: its class, else its code; the record has the full name."""
    names = (_readable(defect["class_name"]), _readable(defect["defect_code"] or ""))
    return f"{next(filter(None, names), 'defect')} {defect['score']:.2f}"


def _readable(name: str) -> str:
    return name if name.isprintable() and (name.isascii() or _DRAWS_UNICODE) else ""
