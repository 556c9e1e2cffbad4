"""Small disks to fill and to lose: a tmpfs, and an ext4 in a file whose power can be cut. Both need root."""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import ApplianceError

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
"""What a power cut does: neither data nor the file system's journal are written any more."""
_BUSY_PATIENCE_S = 5.0


def mount_obstacle() -> str | None:
    """Say why this process can't mount disks; None when it can."""
    if os.geteuid() != 0:
        return "mounting a disk needs root"
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    return None if effective >> 21 & 1 else "mounting a disk needs CAP_SYS_ADMIN"


class SmallTmpfs:
    """A tmpfs of so many megabytes; a context manager."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._megabytes = megabytes

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m,mode=0700", "tmpfs", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _unmount(self.folder)


class LoopDisk:
    """An ext4 in a file, loop-mounted; a context manager.

    Power is cut by telling the file system to stop at once (EXT4_IOC_SHUTDOWN): what was not made durable is gone, as
    after a real cut; what the drive itself would have lost of completed writes is not modelled.
    """

    def __init__(self, image: Path, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._image = image
        self._megabytes = megabytes

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as file:
            file.truncate(self._megabytes << 20)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _unmount(self.folder)
        self._image.unlink(missing_ok=True)

    def cut_power(self) -> None:
        """Stop the disk: from now on every access fails. Kill the processes too, then `restore`."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restore(self) -> None:
        """Come up again after a power cut as a machine does: check the file system, then mount it.

        Raises:
            ApplianceError: The check found what it could not put right, or somebody still holds files.
        """
        _unmount(self.folder)
        _run("fsck.ext4", "-p", str(self._image), accepted=(0, 1))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))
        self.folder.chmod(0o700)


class Filler:
    """A file that takes whatever space a disk has left, and gives it back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "filler"

    def fill(self) -> int:
        """Take all free space down to the last block; gives its size in bytes."""
        size = 0
        step = 1 << 24
        with self._path.open("ab") as file:
            while step >= 512:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2
        return size

    def release(self) -> None:
        """Give the space back."""
        self._path.unlink(missing_ok=True)


def _unmount(folder: Path) -> None:
    end = time.monotonic() + _BUSY_PATIENCE_S
    while True:
        try:
            return _run("umount", str(folder))
        except ApplianceError as error:
            if "not mounted" in str(error):
                return None
            if time.monotonic() > end:
                with contextlib.suppress(ApplianceError):
                    _run("umount", "--lazy", str(folder))  # no mount may outlive the test
                raise
            time.sleep(0.02)


def _run(*command: str, accepted: tuple[int, ...] = (0,)) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own argv)
    except FileNotFoundError:
        raise ApplianceError(f"{command[0]}: not installed: sudo apt-get install mount e2fsprogs") from None
    if done.returncode not in accepted:
        said = " | ".join((done.stdout + done.stderr).strip().splitlines())
        raise ApplianceError(f"{' '.join(command)}: ended with {done.returncode}: {said}")
