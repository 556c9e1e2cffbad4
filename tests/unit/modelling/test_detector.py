from pathlib import Path

import numpy as np
import pytest

from appliance.config import Tiling
from appliance.errors import ModelContractMismatch
from appliance.modelling.detector import Detector
from appliance.testing.tiny_detector import write_tiny_bundle


def frame(width: int, height: int, *cells: tuple[int, int]) -> np.ndarray:
    """Black with bright 16x16 squares at these corners."""
    pixels = np.zeros((height, width), np.uint8)
    for x, y in cells:
        pixels[y : y + 16, x : x + 16] = 240
    return pixels


def test_images_of_different_sizes_keep_their_order_and_their_own_coordinates(tmp_path: Path) -> None:
    detector = Detector(write_tiny_bundle(tmp_path / "tiny", fit="letterbox"), max_batch=2)
    found = detector.detect(
        [frame(64, 48, (16, 32)), frame(64, 48), frame(128, 96, (96, 0), (112, 0), (96, 16), (112, 16))]
    )
    assert [len(one) for one in found] == [1, 0, 1]
    assert found[0].boxes_in_image[0].tolist() == [16, 32, 32, 48]
    assert found[2].boxes_in_image[0].tolist() == [96, 0, 128, 32]


def test_colour_images_are_brought_to_the_models_format(tmp_path: Path) -> None:
    detector = Detector(write_tiny_bundle(tmp_path / "tiny"))
    colour = np.repeat(frame(64, 48, (16, 16))[..., None], 3, axis=2)
    (found,) = detector.detect([colour], pixel_format="BGR8")
    assert found.boxes_in_image.tolist() == [[16, 16, 32, 32]]


def test_threshold_of_the_bundle_holds_unless_another_is_given(tmp_path: Path) -> None:
    detector = Detector(write_tiny_bundle(tmp_path / "tiny"))
    grey = frame(64, 48, (0, 0)) // 3
    assert [len(one) for one in detector.detect([grey])] == [0]
    assert [len(one) for one in detector.detect([grey], score=0.3)] == [1]


def test_large_frame_is_inspected_tile_by_tile_and_a_defect_on_a_seam_counts_once(tmp_path: Path) -> None:
    """Without tiles the squares would shrink away; each tile of 64x48 px shows them as they are."""
    bundle = write_tiny_bundle(tmp_path / "tiny", fit="letterbox")
    large = frame(160, 112, (48, 16), (144, 96))
    assert [len(one) for one in Detector(bundle).detect([large], score=0.8)] == [0]
    (found,) = Detector(bundle, max_batch=4, tiling=Tiling(overlap_px=16)).detect([large], score=0.8)
    assert sorted(map(tuple, found.boxes_in_image.tolist())) == [(48, 16, 64, 32), (144, 96, 160, 112)]


def test_overlap_as_large_as_a_tile_is_refused(tmp_path: Path) -> None:
    detector = Detector(write_tiny_bundle(tmp_path / "tiny"), tiling=Tiling(overlap_px=48))
    with pytest.raises(ModelContractMismatch, match=r"tiling of 64x48 px: .* expected 0 to 47 px, got 48; correct"):
        detector.detect([frame(200, 200)])
