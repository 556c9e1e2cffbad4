"""The audit log: every change of a model in use, one JSON line each, in `state_dir/audit.jsonl`.

Lines are appended and synchronised, never changed. A line that a power cut tore is left out when it is read.
"""

import getpass
import json
import os
import pwd
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ConfigError
from appliance.rollout.files import adopt

FILE = "audit.jsonl"


@dataclass(frozen=True)
class AuditEntry:
    """One change.

    Attributes:
        at: RFC 3339 UTC, when it was written down.
        by: Who: see `whoami`; "appliance" for what it does by itself.
        what: "activated", "rolled_back", "fell_back", "failed", "shadow_set", "shadow_off", …
        recipe: Whose parts it concerns.
        old, new: Models before and after; None: none.
        detail: For people.
    """

    at: str
    by: str
    what: str
    recipe: str
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    detail: str | None = None


def append_audit(state_dir: Path, entry: AuditEntry) -> None:
    """Write a line durably; waits for the disk.

    Raises:
        ConfigError: It can't be written.
    """
    path = state_dir / FILE
    line = json.dumps(asdict(entry)).encode() + b"\n"
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            adopt(fd, state_dir)
            os.write(fd, line)  # one write: writers don't mix, and a torn line ends before the next one
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}; check space and rights") from error


def read_audit(state_dir: Path) -> Iterator[AuditEntry]:
    """Yield the entries, oldest first; none where nothing ever changed.

    Raises:
        ConfigError: The file can't be read.
    """
    path = state_dir / FILE
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}; check its rights") from error
    for line in lines:
        try:
            yield AuditEntry(**json.loads(line))
        except (ValueError, TypeError):
            continue


def whoami() -> str:
    """Name the person behind this process: the login, also behind sudo, and the process id."""
    try:
        login = pwd.getpwuid(int(_login_uid())).pw_name
    except (OSError, ValueError, KeyError):
        login = _user()
    user = _user()
    name = f"{login} as {user}" if login != user else user
    return f"{name[:48]}, pid {os.getpid()}"  # requests take 64 characters


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _login_uid() -> str:
    """The uid that logged in, which sudo keeps; 4294967295 where nobody did."""
    return Path("/proc/self/loginuid").read_text()
