"""Labelled images that the convolving detector knows: bright squares, YOLO txt, with or without splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from appliance.testing.convolving_detector import BOX_PX, HEIGHT, WIDTH, frame_with_square


def write_squares(folder: Path, splits: Mapping[str, Sequence[int | None]]) -> None:
    """Write a set; each number is where a bright square begins (4, 12, 20 … are found best), None a good part.

    Every second defective image of split train has a box of class `dark` too, so that both classes can be learned.
    """
    for split, lefts in splits.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for place, left in enumerate(lefts):
            seed = place + 100 * len(split)
            top = 4 + 8 * (seed % 4)
            name = f"{split}{place}"
            cv2.imwrite(str(folder / f"images/{split}/{name}.png"), frame_with_square(left, top=top, seed=seed))
            rows = [] if left is None else [yolo_row(0, left, top)]
            if split == "train" and left is not None and place % 2:
                rows.append(yolo_row(1, 0 if left > WIDTH // 2 - BOX_PX // 2 else WIDTH - BOX_PX, HEIGHT - BOX_PX))
            (folder / f"labels/{split}/{name}.txt").write_text("".join(rows))
    named = "".join(f"{split}: images/{split}\n" for split in splits)
    (folder / "data.yaml").write_text(f"names: [bright, dark]\n{named}")


def yolo_row(class_id: int, left: int, top: int) -> str:
    """Return a row for a square of BOX_PX."""
    x, y = (left + BOX_PX / 2) / WIDTH, (top + BOX_PX / 2) / HEIGHT
    return f"{class_id} {x} {y} {BOX_PX / WIDTH} {BOX_PX / HEIGHT}\n"


def write_strange_image(path: Path, seed: int) -> None:
    """Write an image that looks like no other one."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
