"""Images with truth and detections drawn, cut to where it matters."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.learning.datasets import LabelledImage, read_image
from appliance.modelling import Detections
from appliance.modelling.pixels import to_pixel_format

_LONGEST_PX = 480
_MARGIN = 0.6  # of the shown boxes' size, on each side
_SMALLEST_PX = 120
_LETTER = 5.5  # height of letters in widths of a line
_TRUTH, _COUNTED, _WEAK = "#22c55e", "#ff4d3d", "#ffb020"
_WEAK_FROM, _WEAK_MOST = 0.1, 12


@dataclass(frozen=True)
class Picture:
    """One image of a report.

    Attributes:
        focus: (K, 4) float32 boxes that must be seen; the image is cut around them. None or empty: all of it.
        counted: What makes it NG. weak: what was found but doesn't count.
        longest_px: Longer side of the picture in the page; a larger one is scaled down.
    """

    image: LabelledImage
    kinds: tuple[str, ...]
    class_names: tuple[str, ...]
    focus: NDArray[np.float32]
    counted: Detections
    weak: Detections
    caption: str
    longest_px: int = _LONGEST_PX

    def html(self) -> str:
        """Return the figure."""
        pixels, pixel_format = read_image(self.image.path)
        colour = to_pixel_format(pixels, pixel_format, "BGR8")
        x1, y1, x2, y2 = _window(self.focus, colour.shape[1], colour.shape[0])
        data = jpeg(colour[y1:y2, x1:x2], self.longest_px)
        width, height = x2 - x1, y2 - y1
        cut = "" if (width, height) == colour.shape[1::-1] else f", cut to {width}x{height} px at {x1}, {y1}"
        return (
            f'<figure><svg viewBox="{x1} {y1} {width} {height}" role="img" aria-label="{escape(self.caption)}">'
            f'<image href="data:image/jpeg;base64,{data}" x="{x1}" y="{y1}" width="{width}" height="{height}" '
            f'preserveAspectRatio="none"/>{self._boxes(max(width, height))}</svg>'
            f"<figcaption>{escape(self.image.path.name)}: {escape(self.caption)}{cut}</figcaption></figure>"
        )

    def _boxes(self, shown_px: int) -> str:
        stroke = shown_px / 200
        truth = [
            _rectangle(box, _TRUTH, stroke, self.kinds[class_id], is_dashed=True, is_below=True)
            for box, class_id in zip(self.image.boxes, self.image.class_ids, strict=True)
        ]
        best = np.flatnonzero(self.weak.scores >= _WEAK_FROM)[:_WEAK_MOST]
        weak = [
            _rectangle(self.weak.boxes_in_image[place], _WEAK, stroke * 0.6, f"{self.weak.scores[place]:.2f}")
            for place in best
        ]
        counted = [
            _rectangle(box, _COUNTED, stroke, f"{self.class_names[class_id]} {score:.2f}")
            for box, score, class_id in zip(
                self.counted.boxes_in_image, self.counted.scores, self.counted.class_ids, strict=True
            )
        ]
        return "".join([*truth, *weak, *counted])


def key() -> str:
    """Say what the colours of the boxes mean."""
    return (
        f'<p class="legend soft"><span><i style="background:{_TRUTH}"></i>labelled (dashed)</span>'
        f'<span><i style="background:{_COUNTED}"></i>counts as a defect</span>'
        f'<span><i style="background:{_WEAK}"></i>found, but does not count</span></p>'
    )


def _rectangle(
    box: NDArray[np.float32], colour: str, stroke: float, text: str, *, is_dashed: bool = False, is_below: bool = False
) -> str:
    x1, y1, x2, y2 = (float(value) for value in box)
    dash = f' stroke-dasharray="{stroke * 4:.1f} {stroke * 3:.1f}"' if is_dashed else ""
    size = stroke * _LETTER
    plate_y = y2 + stroke / 2 if is_below else y1 - stroke / 2 - size * 1.15
    return (
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none" '
        f'stroke="{colour}" stroke-width="{stroke:.2f}"{dash}/>'
        f'<rect x="{x1 - stroke / 2:.1f}" y="{plate_y:.1f}" width="{len(text) * size * 0.57:.1f}" '
        f'height="{size * 1.15:.1f}" fill="{colour}" fill-opacity="0.85"/>'
        f'<text x="{x1:.1f}" y="{plate_y + size * 0.9:.1f}" fill="#000" style="font-size:{size:.1f}px">'
        f"{escape(text)}</text>"
    )


def _window(focus: NDArray[np.float32], width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Return the part of the image to show: what matters and its surroundings, about as wide as high."""
    if not len(focus):
        return 0, 0, width_px, height_px
    low, high = focus[:, :2].min(axis=0), focus[:, 2:].max(axis=0)
    side = max(float((high - low).max()) * (1 + 2 * _MARGIN), _SMALLEST_PX)
    middle = (low + high) / 2
    spans = []
    for centre, length in zip(middle.tolist(), (width_px, height_px), strict=True):
        span = min(side, length)
        first = round(min(max(centre - span / 2, 0), length - span))
        spans.append((first, first + round(span)))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def jpeg(pixels: NDArray[np.uint8], longest_px: int = _LONGEST_PX) -> str:
    """Write an image small, as base64 for a page; (H, W, 3) uint8 BGR."""
    scale = longest_px / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return base64.b64encode(encoded.tobytes()).decode("ascii")
