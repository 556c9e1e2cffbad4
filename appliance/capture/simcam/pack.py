"""Pack a folder of images into the one file the producer replays by mmap. pack.h describes the bytes.

A pack is immutable: its name carries a hash of the images' names, sizes and times, so a changed folder gets another
pack and a camera that replays the old one is not disturbed.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from appliance.errors import ConfigError

MAGIC = b"SIMPACK1"
IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".jp2", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_HEADER = struct.Struct("<8sIIIIQQQQQ")
_FIRST_OFFSET = 4096
_STRIDE_MULTIPLE = 64


@dataclass(frozen=True)
class Pack:
    """What a pack holds; image `i` was made from the file `names[i]`.

    The camera replays image `counter_value % count` for the pulse that its edge counter calls `counter_value`, and
    image `(exposures since AcquisitionStart) % count`, the first being 0, when it is not triggered by Line0.
    """

    path: Path
    width_px: int
    height_px: int
    channels: int
    names: tuple[str, ...]
    stride_bytes: int

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.names)

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """Image `index % count` as the file holds it: (H, W) grey or (H, W, 3) RGB, uint8. Owned by the caller."""
        size = self.width_px * self.height_px * self.channels
        with self.path.open("rb") as file:
            file.seek(_FIRST_OFFSET + index % self.count * self.stride_bytes)
            pixels = np.frombuffer(bytearray(file.read(size)), np.uint8)
        shape = (self.height_px, self.width_px) + ((3,) if self.channels == 3 else ())
        return pixels.reshape(shape)


def pack_images(folder: Path, cache_dir: Path) -> Pack:
    """Pack all images of `folder`, sorted by name, unless `cache_dir` has that pack already.

    Images must be 8-bit, of one size. They are all kept grey if all are grey, else all RGB.

    Raises:
        ConfigError: No folder, no image, an unreadable one, or one of another size or depth than the first.
    """
    files = _image_files(folder)
    path = cache_dir / f"{_content_hash(files)}.simpack"
    if not path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                _write(file, files)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return read_pack(path)


def read_pack(path: Path) -> Pack:
    """Read a pack's header and names.

    Raises:
        ConfigError: Not a pack, or a truncated one.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:8] != MAGIC:
            raise ConfigError(f"{path} is not an image pack: expected {MAGIC!r} at its start, got {header[:8]!r}")
        _, width, height, channels, _, count, stride, _, names_offset, names_bytes = _HEADER.unpack(header)
        file.seek(names_offset)
        names = tuple(file.read(names_bytes).decode().split("\n"))
    if len(names) != count:
        raise ConfigError(f"{path} is truncated: expected {count} names, got {len(names)}; delete it")
    return Pack(path, width, height, channels, names, stride)


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"image folder {folder} does not exist")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ConfigError(f"image folder {folder} holds no image ({' '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def _content_hash(files: list[Path]) -> str:
    digest = hashlib.sha256(MAGIC)
    for path in files:
        status = path.stat()
        digest.update(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def _read_image(path: Path) -> npt.NDArray[np.uint8]:
    """One image, grey (H, W) or RGB (H, W, 3)."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ConfigError(f"{path} can't be read as an image")
    if pixels.dtype != np.uint8:
        raise ConfigError(f"{path}: expected 8 bits a sample, got {pixels.dtype}; convert it")
    if pixels.ndim == 2:
        return pixels.astype(np.uint8, copy=False)
    if pixels.shape[2] == 1:
        return np.ascontiguousarray(pixels[:, :, 0], np.uint8)
    return np.ascontiguousarray(pixels[:, :, 2::-1], np.uint8)  # OpenCV reads BGR or BGRA


def _channels_of(files: list[Path]) -> tuple[int, int, int]:
    """(width, height, channels) all images have; checks every one. Decodes all: packing happens once."""
    first = _read_image(files[0])
    channels = 1
    for path in files:
        image = _read_image(path)
        if image.shape[:2] != first.shape[:2]:
            raise ConfigError(
                f"{path}: expected {first.shape[1]}x{first.shape[0]} px as {files[0].name}, "
                f"got {image.shape[1]}x{image.shape[0]} px; a camera replays images of one size"
            )
        channels = max(channels, 1 if image.ndim == 2 else 3)
    return first.shape[1], first.shape[0], channels


def _write(file: BinaryIO, files: list[Path]) -> None:
    width, height, channels = _channels_of(files)
    size = width * height * channels
    stride = -(-size // _STRIDE_MULTIPLE) * _STRIDE_MULTIPLE
    names = "\n".join(path.name for path in files).encode()
    names_offset = _FIRST_OFFSET + stride * len(files)
    header = _HEADER.pack(
        MAGIC, width, height, channels, 0, len(files), stride, _FIRST_OFFSET, names_offset, len(names)
    )
    file.write(header.ljust(_FIRST_OFFSET, b"\0"))
    for path in files:
        image = _read_image(path)
        if channels == 3 and image.ndim == 2:
            image = np.repeat(image[:, :, np.newaxis], 3, axis=2)
        file.write(image.tobytes().ljust(stride, b"\0"))
    file.write(names)
    file.flush()
    os.fsync(file.fileno())
