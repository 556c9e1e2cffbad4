"""Reading a bundle's folder: every file once, and the hash is of the very bytes that are kept.

Nobody can change a file between check and use, and no bit of any file may differ from when the bundle was written:
model.sha256 holds the hash of model.toml, model.toml those of all other files. model.sha256 is what
`sha256sum model.toml` prints, so that `sha256sum -c model.sha256` says the same without this software.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath

from appliance.errors import ModelError
from appliance.modelling.bundle import CONTRACT_FILE, MODEL_FILE, SEAL_FILE, SIGNATURE_FILE, ModelBundle

MAX_BUNDLE_BYTES = 2 << 30
"""All files together; protobuf, and so ONNX, has no larger messages."""
_MAX_CONTRACT_BYTES = 4 << 20


def load_bundle(folder: Path) -> ModelBundle:
    """Read a bundle and verify that it is whole; not who made it (`load_trusted`), nor what it does (`gate`).

    Raises:
        ModelError: Folder, contract or a file is missing, a hash or signature differs, a path leads outside the
            folder, or the folder holds a file that the contract doesn't list.
    """
    if not folder.is_dir():
        raise ModelError(f"model bundle {folder}: no such folder; expected one with {CONTRACT_FILE} and {MODEL_FILE}")
    contract = _read_regular(folder, CONTRACT_FILE, _MAX_CONTRACT_BYTES)
    _check_seal(folder, contract)
    signature = _read_signature(folder, contract)
    bundle = ModelBundle.understand(contract, folder / CONTRACT_FILE)
    _refuse_unlisted(folder, set(bundle.files))
    contents, left = {}, MAX_BUNDLE_BYTES
    for name, expected in bundle.files.items():
        contents[name] = _read_verified(folder, name, expected, left)
        left -= len(contents[name])
    return bundle.with_contents(contents, signature)


def write_seal(folder: Path) -> None:
    """Write model.sha256 for the model.toml that is there."""
    (folder / SEAL_FILE).write_bytes(_seal((folder / CONTRACT_FILE).read_bytes()))


def _seal(contract: bytes) -> bytes:
    return f"{hashlib.sha256(contract).hexdigest()}  {CONTRACT_FILE}\n".encode()


def _check_seal(folder: Path, contract: bytes) -> None:
    if _read_regular(folder, SEAL_FILE, _MAX_CONTRACT_BYTES) != _seal(contract):
        raise ModelError(
            f"model bundle {folder}: {CONTRACT_FILE} differs from what {SEAL_FILE} promises; copy the bundle again, "
            f"or, after a change on purpose: `cd {folder} && sha256sum {CONTRACT_FILE} > {SEAL_FILE}`"
        )


def _read_signature(folder: Path, contract: bytes) -> bytes | None:
    if not os.path.lexists(folder / SIGNATURE_FILE):
        return None
    from appliance.modelling.signature import check_signature  # noqa: PLC0415 (loads OpenSSL; few bundles need it)

    signature = _read_regular(folder, SIGNATURE_FILE, _MAX_CONTRACT_BYTES)
    check_signature(signature, contract, f"model bundle {folder}")
    return signature


def _refuse_unlisted(folder: Path, listed: set[str]) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if unlisted := sorted(found - listed - {CONTRACT_FILE, SEAL_FILE, SIGNATURE_FILE}):
        raise ModelError(
            f"model bundle {folder}: {unlisted[0]} is not listed in [files] of {CONTRACT_FILE}"
            f"{f' (and {len(unlisted) - 1} more)' if len(unlisted) > 1 else ''}; remove it, or list it with its sha256"
        )


def _read_verified(folder: Path, name: str, expected: str, max_bytes: int) -> bytes:
    content = _read_regular(folder, name, max_bytes)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(
            f"model bundle {folder}: {name} differs from {CONTRACT_FILE}: expected sha256 {expected[:16]}…, got "
            f"{found[:16]}… ({len(content)} bytes); copy the bundle again from where it was made"
        )
    return content


def _read_regular(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a file inside the folder; no `..`, no absolute path, no symbolic link, no device."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or path.as_posix() != name:
        raise ModelError(f"model bundle {folder}: [files] names {name!r}; expected a plain path inside the bundle")
    target = folder.joinpath(*path.parts)
    for part in (target, *target.parents):
        if part == folder:
            break
        if part.is_symlink():
            raise ModelError(f"model bundle {folder}: {name} goes through a symbolic link; put the file itself there")
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ModelError(f"model bundle {folder}: {name} is missing; copy the bundle again, with all files") from None
    except OSError as error:
        raise ModelError(f"model bundle {folder}: {name} can't be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"model bundle {folder}: {name} is not a regular file")
        if status.st_size > max_bytes:
            raise ModelError(
                f"model bundle {folder}: {name} has {status.st_size} bytes, at most {max_bytes} are left for it "
                f"({MAX_BUNDLE_BYTES >> 30} GiB for all files, {_MAX_CONTRACT_BYTES >> 20} MiB for {CONTRACT_FILE})"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)
