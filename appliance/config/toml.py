"""Reading TOML into models; what is wrong with a file is said in one line. The only reader of TOML."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from appliance.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: File missing, unreadable or not TOML.
    """
    try:
        return parse_toml(path.read_bytes(), path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give an existing TOML file (examples/demo.toml is one)") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error


def parse_toml(content: bytes, path: Path) -> dict[str, Any]:
    """Understand a TOML file's bytes; `path` is for the error.

    Raises:
        ConfigError: Not TOML.
    """
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and lists in lists in lists
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def validate(model: type[_Model], content: dict[str, Any], path: Path) -> _Model:
    """Make a model of a file's content.

    Raises:
        ConfigError: Unknown or missing key, impossible value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, path)) from error


def explain(error: ValidationError, path: Path) -> str:
    """Say the first thing that is wrong with a file in one line: file, key, what is wrong, the value found."""
    first = error.errors()[0]
    # pydantic puts the value of a discriminator (`kind`) into the path; the file has no such table.
    path_in_file = [
        part for part, before in zip(first["loc"], (None, *first["loc"]), strict=False) if before != "source"
    ]
    key = ".".join(str(part) for part in path_in_file) or "(whole file)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{path}: unknown key '{key}'{more}; remove it or check its spelling"
    if first["type"] == "missing":
        return f"{path}: key '{key}' is missing{more}; add it"
    message = first["msg"].removeprefix("Value error, ")
    return f"{path}: {key}: {message}, got {first['input']!r:.80}{more}"
