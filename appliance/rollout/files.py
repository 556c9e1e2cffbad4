"""Small files that are there after a power cut, whole: the old content, or the new one."""

import contextlib
import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from appliance.config import explain
from appliance.errors import ConfigError

_M = TypeVar("_M", bound=BaseModel)


def read_json(path: Path, model: type[_M]) -> _M | None:
    """Read a file of ours; None where there is none.

    Raises:
        ConfigError: It can't be read, or holds something else.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}; check its rights") from error
    except ValidationError as error:
        raise ConfigError(f"{explain(error, path)}; restore the file, or move it away") from error


def write_json(path: Path, content: BaseModel) -> None:
    """Put a file in place of the old one, durably.

    Raises:
        ConfigError: The directory can't be written.
    """
    try:
        write_bytes(path, content.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}; check space and rights") from error


def write_bytes(path: Path, content: bytes) -> None:
    """The same with any content.

    Raises:
        OSError: The directory can't be written; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            adopt(file.fileno(), path.parent)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def adopt(fd: int, directory: Path) -> None:
    """Give a file that root makes to whom its directory belongs: the service must be able to write it later."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
