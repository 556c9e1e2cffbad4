import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.capture.simcam.pack import pack_images, read_pack
from appliance.errors import ConfigError


def save(path: Path, shape: tuple[int, ...], *, dtype: type = np.uint8, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, shape).astype(dtype))


def test_images_come_back_sorted_by_name_and_bit_exact(tmp_path: Path) -> None:
    for seed, name in enumerate(["b.png", "a.bmp", "c.pgm"]):
        save(tmp_path / "images" / name, (6, 10), seed=seed)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    pack = pack_images(tmp_path / "images", tmp_path / "cache")
    assert pack.names == ("a.bmp", "b.png", "c.pgm")
    assert (pack.width_px, pack.height_px, pack.channels, pack.count) == (10, 6, 1, 3)
    for index, name in enumerate(pack.names):
        expected = cv2.imread(str(tmp_path / "images" / name), cv2.IMREAD_UNCHANGED)
        assert expected is not None
        np.testing.assert_array_equal(pack.image(index), expected)
    np.testing.assert_array_equal(pack.image(4), pack.image(1))


def test_the_header_is_the_one_pack_h_draws(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", (5, 7))
    path = pack_images(tmp_path / "images", tmp_path).path
    header = path.read_bytes()[:64]
    fields = struct.unpack("<8sIIIIQQQQQ", header)
    assert fields == (b"SIMPACK1", 7, 5, 1, 0, 1, 64, 4096, 4096 + 64, 5)
    assert path.stat().st_size == 4096 + 64 + 5


def test_colour_is_kept_as_rgb_and_grey_images_beside_it_become_grey_rgb(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", (4, 6, 3))
    save(tmp_path / "images" / "b.png", (4, 6), seed=1)
    save(tmp_path / "images" / "c.png", (4, 6, 4), seed=2)
    pack = pack_images(tmp_path / "images", tmp_path)
    assert pack.channels == 3
    as_bgr = cv2.imread(str(tmp_path / "images" / "a.png"), cv2.IMREAD_COLOR)
    assert as_bgr is not None
    np.testing.assert_array_equal(pack.image(0), as_bgr[:, :, ::-1])
    grey = pack.image(1)
    assert (grey[:, :, 0] == grey[:, :, 1]).all()


def test_a_pack_is_made_once_and_again_when_an_image_changes(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", (4, 6))
    first = pack_images(tmp_path / "images", tmp_path)
    made = first.path.stat().st_ino
    assert pack_images(tmp_path / "images", tmp_path).path.stat().st_ino == made
    save(tmp_path / "images" / "a.png", (4, 8))
    assert pack_images(tmp_path / "images", tmp_path).path != first.path
    assert first.path.exists()


def test_an_image_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", (4, 6))
    save(tmp_path / "images" / "odd.png", (5, 6))
    with pytest.raises(ConfigError, match=r"odd\.png: expected 6x4 px as a\.png, got 6x5 px"):
        pack_images(tmp_path / "images", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_sixteen_bit_unreadable_and_missing_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        pack_images(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no image"):
        pack_images(tmp_path / "empty", tmp_path)
    save(tmp_path / "deep" / "a.png", (4, 6), dtype=np.uint16)
    with pytest.raises(ConfigError, match="expected 8 bits a sample, got uint16"):
        pack_images(tmp_path / "deep", tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.png").write_bytes(b"\x89PNG nothing behind it")
    with pytest.raises(ConfigError, match="can't be read as an image"):
        pack_images(tmp_path / "torn", tmp_path)


def test_foreign_and_truncated_files_are_no_packs(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"something else entirely")
    with pytest.raises(ConfigError, match="is not an image pack"):
        read_pack(tmp_path / "foreign")
    save(tmp_path / "images" / "a.png", (4, 6))
    save(tmp_path / "images" / "b.png", (4, 6))
    path = pack_images(tmp_path / "images", tmp_path).path
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ConfigError, match="truncated: expected 2 names, got 1"):
        read_pack(path)
