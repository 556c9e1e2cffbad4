import os
import random
import shutil
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.modelling import load_bundle
from appliance.modelling.signature import make_key, sign_bundle

SHIPPED = Path(__file__).parents[3] / "models" / "deeppcb-nano"
FLIPS = 1000


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_every_one_of_1000_flipped_bits_is_refused(tmp_path: Path, is_signed: bool) -> None:
    folder = tmp_path / SHIPPED.name
    shutil.copytree(SHIPPED, folder)
    if is_signed:
        make_key(tmp_path / "key")
        sign_bundle(folder, tmp_path / "key")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    draw = random.Random(20261123)
    accepted = []
    for _ in range(FLIPS // 2):
        path = draw.choice(files)
        bit = draw.randrange(path.stat().st_size * 8)
        flip(path, bit)
        try:
            load_bundle(folder)
        except ModelError:
            pass
        else:
            accepted.append((path.name, bit))
        flip(path, bit)
    assert accepted == []
    load_bundle(folder)


def test_every_bit_of_seal_and_signature_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / SHIPPED.name
    shutil.copytree(SHIPPED, folder)
    make_key(tmp_path / "key")
    sign_bundle(folder, tmp_path / "key")
    for name in ("model.sha256", "model.sig"):
        for bit in range((folder / name).stat().st_size * 8):
            flip(folder / name, bit)
            with pytest.raises(ModelError):
                load_bundle(folder)
            flip(folder / name, bit)


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over, in place."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, bit // 8)[0]
        os.pwrite(descriptor, bytes([byte ^ 1 << bit % 8]), bit // 8)
    finally:
        os.close(descriptor)
