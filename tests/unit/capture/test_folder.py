from pathlib import Path

import cv2
import numpy as np

from appliance.capture.folder import ImageFolder
from appliance.config import FolderSource
from appliance.ring import RingLayout, RingMemory


def replay(folder: Path, count: int) -> list[tuple[bool, np.ndarray]]:
    """Whether each delivery was incomplete, and its pixels."""
    source = ImageFolder("cam0", FolderSource(kind="folder", images=folder, frame_rate_hz=1000))
    plan = source.open()
    memory = RingMemory(RingLayout.plan(plan.geometry, 4))
    source.announce(memory)
    source.start()
    delivered = []
    for _ in range(count):
        source.queue(0)
        while (delivery := source.wait(1.0)) is None:
            pass
        pixels = memory.writable(0)[: plan.geometry.payload_bytes].reshape(plan.geometry.height, -1).copy()
        delivered.append((delivery.is_incomplete, pixels))
    source.close()
    memory.close()
    return delivered


def test_a_grey_picture_saved_as_colour_is_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), grey)
    cv2.imwrite(str(tmp_path / "2.png"), cv2.merge([grey, grey, grey]))
    for is_incomplete, pixels in replay(tmp_path, 2):
        assert not is_incomplete
        assert np.array_equal(pixels, grey)


def test_an_image_of_another_shape_or_none_at_all_is_an_incomplete_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 12), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 16), 7, np.uint8))
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("not looked at")
    assert [is_incomplete for is_incomplete, _ in replay(tmp_path, 4)] == [False, True, True, False]
