"""CURVE certificate files in the format of ZeroMQ's own tools (ZPL, as zmq.auth and czmq write it).

    metadata
        name = "mes1"
        roles = "result"
    curve
        public-key = "40 characters of Z85"
        secret-key = "40 characters of Z85"

Files are written whole or not at all, readable by their owner alone. Who reads a secret refuses a file that others
can read too: it has leaked already.
"""

import os
import re
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from appliance.errors import KeysError

_ENTRY = re.compile(r'^\s+([a-z-]+)\s*=\s*"?([^"]*?)"?\s*$')
_MAX_FILE_BYTES = 64 * 1024
_KEY_LENGTH = 40


@dataclass(frozen=True)
class Certificate:
    """One file's content; keys in Z85."""

    public_key: str
    secret_key: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Write it as the file has it."""
        lines = ["metadata", *(f'    {name} = "{value}"' for name, value in self.metadata.items())]
        lines += ["curve", f'    public-key = "{self.public_key}"']
        if self.secret_key is not None:
            lines += [f'    secret-key = "{self.secret_key}"']
        return "\n".join(lines) + "\n"


def read_certificate(path: Path, *, needs_secret: bool = False) -> Certificate:
    """Read a file.

    Raises:
        KeysError: Missing, unreadable, damaged, without the key that is needed, or a secret that others can read.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise KeysError(f"{path}: can't be read: {error.strerror}") from error
    entries = dict(_entries(path, raw))
    public_key = entries.pop("public-key", None)
    secret_key = entries.pop("secret-key", None)
    if public_key is None or (needs_secret and secret_key is None):
        missing = "public-key" if public_key is None else "secret-key"
        raise KeysError(f"{path}: damaged or another kind of file: no {missing}; fetch it anew from where it was made")
    if secret_key is not None and mode & 0o077:
        raise KeysError(f"{path}: its secret is open to others (mode {mode:04o}, expected 0600); `chmod 600 {path}`")
    for key in (public_key, secret_key):
        if key is not None:
            check_key(key, str(path))
    if secret_key is not None and zmq.curve_public(secret_key.encode()).decode() != public_key:
        raise KeysError(f"{path}: damaged: its two keys are no pair; fetch it anew from where it was made")
    return Certificate(public_key, secret_key, entries)


def write_certificate(path: Path, certificate: Certificate, owner: tuple[int, int] | None = None) -> None:
    """Create a file, mode 0600; an existing one stays as it is.

    Args:
        owner: User and group it shall belong to; None: whoever writes.
    Raises:
        KeysError: Exists already, or can't be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(certificate.text())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename it never replaces a file
        finally:
            draft.unlink()
    except FileExistsError as error:
        raise KeysError(f"{path}: exists already and is kept; move it away or choose another name") from error
    except OSError as error:
        raise KeysError(f"{path}: can't be written: {error.strerror}") from error


def check_key(key: str, where: str) -> bytes:
    """Give the 32 bytes of a Z85 key.

    Raises:
        KeysError: Not a key.
    """
    try:
        raw: bytes = z85.decode(key.encode("ascii")) if len(key) == _KEY_LENGTH else b""
    except (KeyError, ValueError, struct.error):
        raw = b""
    if len(raw) != 32 or not any(raw):
        raise KeysError(f"{where}: not a CURVE key: {_KEY_LENGTH} characters of Z85 expected, got {len(key)}")
    return raw


def _entries(path: Path, raw: bytes) -> list[tuple[str, str]]:
    try:
        lines = raw.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise KeysError(f"{path}: damaged or another kind of file: byte {error.start} is no ASCII") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#") or line.rstrip() in {"metadata", "curve"}:
            continue
        entry = _ENTRY.match(line)
        if entry is None:
            raise KeysError(f"{path}, line {number}: damaged or another kind of file: 'name = \"value\"' expected")
        found.append((entry[1], entry[2]))
    return found
