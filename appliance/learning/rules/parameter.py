"""Parameters that a person sets: data with unit, limits and a sentence each, so that they can be counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import annotated_types
from pydantic import Field

from appliance.config.confined import ConfinedModel

Group = TypeVar("Group", bound=ConfinedModel)


class RuleParameters(ConfinedModel):
    """All that is set by hand for one set of rules.

    `find` says what is a candidate, `limits` what becomes of it: a change of the limits needs no second look at pixels.
    """

    find: ConfinedModel
    limits: ConfinedModel
    score: float = Field(
        default=0.5,
        ge=0.05,
        le=0.95,
        description="a part is NG from this score on; 0.5 is a measure exactly at its limit",
        json_schema_extra={"unit": "1"},
    )


@dataclass(frozen=True)
class Declared:
    """One parameter, as it was declared.

    Attributes:
        name: Group and field: "limits.burr_depth_px".
        low, high: Its limits, between which it may be tuned.
    """

    name: str
    unit: str
    low: float
    high: float
    default: float
    is_whole: bool
    text: str


def parameter(default: float, low: float, high: float, unit: str, text: str) -> Any:
    """Declare one parameter: a field of a frozen group.

    Args:
        unit: "px", "px²", "1" for shares and ratios, "sigma" for multiples of what good parts vary by.
        text: One sentence: what it decides.
    """
    return Field(default=default, ge=low, le=high, description=text, json_schema_extra={"unit": unit})


def declared(parameters: RuleParameters | type[RuleParameters]) -> tuple[Declared, ...]:
    """List every parameter that a set of rules has; their number is `len`."""
    return tuple(_declared(parameters if isinstance(parameters, type) else type(parameters)))


def flat(parameters: RuleParameters) -> dict[str, float]:
    """Return the values by their full names."""
    return {one.name: _value(parameters, one.name) for one in declared(parameters)}


def changed(parameters: Group, values: dict[str, float]) -> Group:
    """Return parameters with some values changed, by their full names; each must keep its limits."""
    content = parameters.model_dump()
    for name, value in values.items():
        *groups, key = name.split(".")
        table = content
        for group in groups:
            table = table[group]
        table[key] = value
    return type(parameters).model_validate(content)


def _declared(model: type[ConfinedModel], prefix: str = "") -> Iterator[Declared]:
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, ConfinedModel):
            yield from _declared(field.annotation, f"{prefix}{key}.")
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        yield Declared(
            name=prefix + key,
            unit=str(extra["unit"]),
            low=next(float(limit.ge) for limit in field.metadata if isinstance(limit, annotated_types.Ge)),  # type: ignore[arg-type]
            high=next(float(limit.le) for limit in field.metadata if isinstance(limit, annotated_types.Le)),  # type: ignore[arg-type]
            default=field.default,
            is_whole=field.annotation is int,
            text=field.description or "",
        )


def _value(parameters: RuleParameters, name: str) -> float:
    value: Any = parameters
    for key in name.split("."):
        value = getattr(value, key)
    return float(value) if not isinstance(value, int) else value
