"""Tuned parameters as a TOML file, to be used again and to be read by people: each with its unit and sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.config.toml import read_toml, validate
from appliance.errors import ConfigError
from appliance.learning.rules.method import Method
from appliance.learning.rules.parameter import RuleParameters, declared, flat
from appliance.modelling.bundle_writer import toml_lines

SCHEMA_VERSION = 1


def read_rules(path: Path, methods: Mapping[str, type[Method]]) -> tuple[str, RuleParameters]:
    """Read a file.

    Args:
        methods: By name.
    Returns:
        The method's name and its parameters.
    Raises:
        ConfigError: Missing, not TOML, of an unknown method, an unknown key, or a value beyond its limits.
    """
    content = read_toml(path)
    version, name = content.pop("schema_version", None), content.pop("method", None)
    content.pop("tuning", None)
    if version != SCHEMA_VERSION or name not in methods:
        raise ConfigError(
            f"{path}: expected schema_version = {SCHEMA_VERSION} and method = one of {', '.join(methods)}, "
            f"got {version!r} and {name!r}; `appliance compare-rules … --save-rules FOLDER` writes such files"
        )
    return str(name), validate(methods[name].parameters, content, path)


def write_rules(path: Path, method: str, parameters: RuleParameters, tuning: Mapping[str, Any]) -> None:
    """Write a file.

    Args:
        tuning: How they were found; for people, not read again.
    Raises:
        ConfigError: The folder can't be written.
    """
    values = flat(parameters)
    lines = ["# Parameters of rule-based vision, set on a development split."]
    lines += toml_lines({"schema_version": SCHEMA_VERSION, "method": method, "score": parameters.score})
    for group in ("find", "limits"):
        lines += ["", f"[{group}]"]
        for one in declared(parameters):
            if one.name.startswith(f"{group}."):
                key = one.name.removeprefix(f"{group}.")
                lines.append(f"{key} = {values[one.name]}  # {one.low:g} to {one.high:g} {one.unit}: {one.text}")
    lines += ["", "[tuning]", *toml_lines({key: value for key, value in tuning.items() if value is not None})]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}") from error
