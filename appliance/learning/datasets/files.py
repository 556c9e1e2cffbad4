"""Finding and reading the files of a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from appliance.errors import LabelError
from appliance.modelling.image_file import decode_image
from appliance.modelling.pixels import Pixels

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})
_MASK_FOLDERS = frozenset({"masks", "ground_truth"})


def image_files(folder: Path) -> list[Path]:
    """List all image files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def pictures(folder: Path) -> list[Path]:
    """List the image files below a folder, sorted, but for those in folders of masks."""
    return [path for path in image_files(folder) if not _MASK_FOLDERS.intersection(path.relative_to(folder).parts)]


def read_image(path: Path) -> tuple[Pixels, str]:
    """Decode an image as the appliance's image folders do, turned as its EXIF data says.

    Returns:
        Pixels and their PFNC name: (H, W) uint8 "Mono8", (H, W) uint16 "Mono16" or (H, W, 3) uint8 "BGR8".
    Raises:
        LabelError: The file can't be read or isn't an image.
    """
    try:
        decoded = decode_image(path.read_bytes())
    except OSError as error:
        raise LabelError("broken_image", str(path), "", f"can't be read: {error.strerror}") from error
    if decoded is None:
        what = "expected an image of 8 or 16 bits, got something that can't be decoded"
        raise LabelError("broken_image", str(path), "", what)
    return decoded


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height in px of an image file.

    Raises:
        DatasetError: As `read_image`.
    """
    pixels, _ = read_image(path)
    return pixels.shape[1], pixels.shape[0]


def read_text(path: Path) -> str:
    """Read a label file.

    Raises:
        LabelError: It can't be read, or isn't UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError("broken_label", str(path), "", f"expected text in UTF-8, got: {error}") from error


def is_there(path: Path) -> bool:
    """Whether a path out of a label file exists; one that no file can have (too long, a zero byte) doesn't."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_image_there(name: str) -> bool:
    """Whether a text out of a label file is the absolute path of an image of this machine."""
    path = Path(name)
    return path.is_absolute() and path.suffix.lower() in IMAGE_SUFFIXES and is_there(path) and path.is_file()


class ImageIndex:
    """Finds the image that a label file means, wherever the set keeps its images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in image_files(folder):
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @property
    def stems(self) -> set[str]:
        """The images' names without suffix."""
        return set(self._by_stem)

    def find(self, name: str, label: Path, at: str, *, left_at: str | None = None) -> Path:
        """Return the image of a label.

        Args:
            name: File name as the label gives it; its folders are another machine's and count for nothing.
            label: The label file: its stem helps where the name doesn't, its place where several files match.
            at: For the error: the line or annotation.
            left_at: Where the image was left, if the label says so; asked last.
        Raises:
            LabelError: No such image, or several.
        """
        plain = name.replace("\\", "/").rsplit("/", 1)[-1]
        found = self._by_name.get(plain) or self._by_stem.get(Path(plain).stem) or self._by_stem.get(label.stem, [])
        if len(found) > 1:
            best = max(_shared(path, label) for path in found)
            found = [path for path in found if _shared(path, label) == best]
        if not found and left_at is not None and is_image_there(left_at):
            return Path(left_at)
        if len(found) != 1:
            got = f"{len(found)} of that name" if found else "none"
            what = f"expected one image {plain!r} below {self.folder}, got {got}"
            raise LabelError("label_without_image", str(label), at, what)
        return found[0]


def _shared(path: Path, label: Path) -> int:
    """Count the folder names that an image and a label have in common."""
    return len(set(path.parts[:-1]) & set(label.parts[:-1]))


def names_in(lines: Iterable[str]) -> list[str]:
    """Return the non-empty lines of a list of names, stripped."""
    return [line.strip() for line in lines if line.strip()]
