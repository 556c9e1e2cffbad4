import hashlib

import cv2
import numpy as np
import pytest

from appliance.errors import ConfigError
from appliance.modelling import ModelInput
from appliance.modelling.quantise import Manifest, read_calibration_set, write_manifest

MONO = ModelInput(
    name="x", layout="NCHW", dtype="uint8", pixel_format="Mono8", height=32, width=32, fit="letterbox", pad_value=7
)


@pytest.fixture
def manifest(tmp_path):
    """Return a manifest of one grey and one colour image, beside their folder."""
    folder = tmp_path / "line"
    folder.mkdir()
    cv2.imwrite(str(folder / "grey.png"), np.full((16, 32), 90, np.uint8))
    cv2.imwrite(str(folder / "colour.png"), np.full((32, 32, 3), 200, np.uint8))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("grey.png", "colour.png")}
    path = tmp_path / "line.toml"
    write_manifest(
        path,
        Manifest(
            schema_version=1, name="line", version=2, source='the "line"', licence="ours", chosen="all", files=files
        ),
    )
    return path


def test_images_come_as_the_model_gets_them_on_the_line(manifest):
    read = read_calibration_set(manifest.with_suffix(""))
    assert (read.manifest.version, read.manifest.source) == (2, 'the "line"')
    assert read.sha256 == hashlib.sha256(manifest.read_bytes()).hexdigest()
    grey, colour = read.frames(MONO)
    assert grey.shape == colour.shape == (1, 32, 32)
    assert set(np.unique(grey)) == {7, 90}
    assert set(np.unique(colour)) == {200}


def test_images_are_taken_from_another_folder_when_it_is_given(manifest, tmp_path):
    (tmp_path / "line").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="--data DIR"):
        read_calibration_set(manifest)
    assert len(read_calibration_set(manifest, tmp_path / "elsewhere").images) == 2


def test_a_changed_image_is_refused(manifest, tmp_path):
    cv2.imwrite(str(tmp_path / "line/grey.png"), np.full((16, 32), 91, np.uint8))
    with pytest.raises(ConfigError, match=r"grey\.png differs from the manifest: expected sha256"):
        read_calibration_set(manifest)


def test_a_missing_image_is_refused(manifest, tmp_path):
    (tmp_path / "line/grey.png").unlink()
    with pytest.raises(ConfigError, match=r"grey\.png: can't be read in .*is --data right"):
        read_calibration_set(manifest)


def test_a_missing_manifest_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="calibration-set FOLDER --out"):
        read_calibration_set(tmp_path / "nowhere")


def test_no_file_is_read_from_outside_the_folder(manifest, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    manifest.write_text(manifest.read_text().replace('"grey.png"', '"../secret.png"'))
    with pytest.raises(ConfigError, match="expected a plain path inside"):
        read_calibration_set(manifest)


def test_what_is_no_image_is_refused(manifest, tmp_path):
    content = b"no image"
    (tmp_path / "line/grey.png").write_bytes(content)
    text = manifest.read_text().splitlines()
    lines = [
        f'"grey.png" = "{hashlib.sha256(content).hexdigest()}"' if row.startswith('"grey') else row for row in text
    ]
    manifest.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="expected an image of 8 or 16 bits"):
        read_calibration_set(manifest)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema_version = 1", "schema_version = 9", "schema_version"),
        ('licence = "ours"', 'licences = "ours"', "licence"),
        ("[files]", "[file]", "file"),
        ("name =", "name", "TOML"),
    ],
)
def test_a_broken_manifest_says_what_is_wrong(manifest, old, new, said):
    manifest.write_text(manifest.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=said):
        read_calibration_set(manifest)
