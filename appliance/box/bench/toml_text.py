"""Write a model as TOML: a benchmark runs the real stages, and those read files."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def write_toml(path: Path, model: BaseModel) -> None:
    """Write a configuration or recipe so that loading the file gives an equal model."""
    values = model.model_dump(exclude_none=True)
    path.write_text("".join(f"{key} = {_value(value)}\n" for key, value in values.items()), encoding="utf-8")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
