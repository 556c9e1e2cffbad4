"""From a message's type to its JSON Schema as it is published."""

from typing import Any

from pydantic import TypeAdapter

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str, kind: Any, *, description: str, is_ours: bool) -> dict[str, Any]:
    """Describe a message.

    Args:
        name: File name without its ending; also the schema's id.
        kind: A pydantic model, or any type that pydantic understands.
        description: What the message is.
        is_ours: The appliance sends it. Receivers must then ignore keys they don't know, so that new ones can come.
    """
    schema = TypeAdapter(kind).json_schema()
    head = {"$schema": DIALECT, "$id": f"urn:appliance:schema:{name}", "title": name, "description": description}
    cleaned: dict[str, Any] = _cleaned(schema, is_open=is_ours)
    cleaned.pop("title", None)
    cleaned.pop("description", None)
    return head | cleaned


def _cleaned(part: Any, *, is_open: bool) -> Any:
    """Drop what only repeats a key's name, OpenAPI's own word, and, from what we send, the ban on further keys."""
    if isinstance(part, list):
        return [_cleaned(each, is_open=is_open) for each in part]
    if not isinstance(part, dict):
        return part
    unwanted = {"title", "discriminator"}
    if is_open and part.get("additionalProperties") is False:
        unwanted.add("additionalProperties")
    cleaned: dict[str, Any] = {}
    for key, value in part.items():
        if key in {"properties", "$defs"}:  # keys below are names, not schema words
            cleaned[key] = {name: _cleaned(each, is_open=is_open) for name, each in value.items()}
        elif key == "description":
            cleaned[key] = " ".join(value.split())
        elif key not in unwanted:
            cleaned[key] = _cleaned(value, is_open=is_open)
    return cleaned
