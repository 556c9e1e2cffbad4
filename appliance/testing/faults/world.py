"""What passes before the camera: eight pictures, known to be good or bad, and the recipe that must tell them apart."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.testing.tiny_detector import write_tiny_bundle

WIDTH_PX, HEIGHT_PX = 64, 48
_BAD = (False, False, True, False, True, False, False, True)

_RECIPE = """
name = "bright-cells"
version = 1
model = "tiny"
deadline_ms = {deadline_ms}
ok_image_rate = {ok_image_rate}
[evidence]
mean_grey_min = 10
mean_grey_max = 245
sharpness_min = 0
[classes.bright]
score = 0.7
[classes.dark]
score = 0.7
"""


@dataclass(frozen=True)
class World:
    """Where the pictures, the model and the recipe lie, and what each pulse of the line shows.

    Attributes:
        deadline_ms: From a pulse to the moment after which its verdict is worthless.
    """

    images: Path
    models_dir: Path
    recipe: Path
    deadline_ms: float

    def is_bad(self, pulse: int) -> bool:
        """Whether the part of a pulse is bad: its camera shows picture `pulse mod 8`."""
        return _BAD[pulse % len(_BAD)]

    def pictures(self) -> list[NDArray[np.uint8]]:
        """What the camera shows, (height, width) uint8 each: picture `pulse mod 8` at a pulse."""
        found = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(self.images.iterdir()))
        return [picture.astype(np.uint8) for picture in found if picture is not None]


def make_world(folder: Path, *, deadline_ms: float = 300, ok_image_rate: float = 0.25) -> World:
    """Write everything to `folder`. Pictures are noise; a bad part's picture has one bright cell."""
    images = folder / "images"
    images.mkdir(parents=True)
    random = np.random.default_rng(7)
    for number, is_bad in enumerate(_BAD):
        picture = random.integers(20, 120, (HEIGHT_PX, WIDTH_PX), dtype=np.uint8)
        if is_bad:
            picture[16:32, 16 + 16 * (number % 2) :][:, :16] = 240
        cv2.imwrite(str(images / f"{number:02d}.png"), picture)
    write_tiny_bundle(folder / "models" / "tiny", width=WIDTH_PX, height=HEIGHT_PX)
    recipe = folder / "recipe.toml"
    recipe.write_text(_RECIPE.format(deadline_ms=deadline_ms, ok_image_rate=ok_image_rate))
    return World(images, folder / "models", recipe, deadline_ms)
