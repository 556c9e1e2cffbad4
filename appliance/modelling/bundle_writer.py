"""Write a model bundle: files first, then `model.toml` with their hashes, then its own hash."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.modelling.bundle import CONTRACT_FILE, SEAL_FILE, SIGNATURE_FILE, ModelBundle
from appliance.modelling.bundle_files import load_bundle, write_seal

_OWN_FILES = {CONTRACT_FILE, SEAL_FILE, SIGNATURE_FILE}


def write_bundle(folder: Path, contract: Mapping[str, Any]) -> ModelBundle:
    """Hash every file in the folder, write `model.toml` and read the bundle back as the appliance would.

    Args:
        folder: Holds the bundle's files already; `model.toml` and `model.sha256` are replaced, a signature goes.
        contract: Content of `model.toml` but for `[files]`.
    Raises:
        ModelError: The result isn't a bundle that the appliance accepts.
    """
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() not in _OWN_FILES
    }
    (folder / CONTRACT_FILE).write_text("\n".join(toml_lines({**contract, "files": files})) + "\n", encoding="utf-8")
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    write_seal(folder)
    return load_bundle(folder)


def put_in_place(folder: Path, target: Path) -> None:
    """Rename a finished bundle to its name; one of that name is replaced, and stays whole until the last moment."""
    retired = folder.with_name(f"{folder.name}-old")
    if not os.path.lexists(target):
        folder.rename(target)
        return
    target.rename(retired)
    try:
        folder.rename(target)
    except OSError:
        retired.rename(target)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def toml_lines(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Write a table: plain keys first, then its sub-tables. JSON's strings, numbers and lists are TOML's too."""
    lines = [f"{_key(key)} = {json.dumps(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        name = prefix + _key(key)
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *toml_lines(value, f"{name}.")]
        elif _is_table(value):
            for row in value:
                lines += ["", f"[[{name}]]", *toml_lines(row, f"{name}.")]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
