import contextlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.modelling import load_bundle
from appliance.modelling.signature import check_signature, make_key, sign_bundle

SHIPPED = Path(__file__).parents[3] / "models" / "deeppcb-nano"
FLIPS = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a signed copy of the shipped bundle."""
    copied = tmp_path / SHIPPED.name
    shutil.copytree(SHIPPED, copied)
    make_key(tmp_path / "key")
    sign_bundle(copied, tmp_path / "key")
    return copied


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_every_one_of_1000_flipped_bits_is_refused(folder: Path, is_signed: bool) -> None:
    if not is_signed:
        (folder / "model.sig").unlink()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    draw = random.Random(f"2026, signed: {is_signed}")
    accepted = []
    for _ in range(FLIPS // 2):
        path = draw.choice(files)
        bit = draw.randrange(path.stat().st_size * 8)
        with flipped(path, bit):
            try:
                load_bundle(folder)
            except ModelError:
                continue
        accepted.append((path.name, bit))
    assert accepted == []
    load_bundle(folder)


def test_every_bit_of_a_signature_counts(folder: Path) -> None:
    path, contract = folder / "model.sig", (folder / "model.toml").read_bytes()
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ModelError):
            check_signature(bytes(changed), contract, "model")


@contextlib.contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """Turn one bit of a file over, in place, and back."""
    flip(path, bit)
    try:
        yield
    finally:
        flip(path, bit)


def flip(path: Path, bit: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, bit // 8)[0]
        os.pwrite(descriptor, bytes([byte ^ 1 << bit % 8]), bit // 8)
    finally:
        os.close(descriptor)
