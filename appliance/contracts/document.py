"""What all described messages share: the strictness of their models, and the words that several use."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema

from appliance.config import Name
from appliance.messages import ClockSource, Reason, VerdictWord


class Document(BaseModel):
    """A JSON object as it goes to others. The model refuses keys it doesn't know: code and description can't drift."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


def _one_of(words: list[str], description: str) -> Any:
    return WithJsonSchema({"type": "string", "enum": words, "description": description})


Verdict = Annotated[
    str, _one_of([word.name for word in VerdictWord], "OK, NG or UNKNOWN. UNKNOWN means reject, as NG does.")
]
ReasonWord = Annotated[str, _one_of([reason.word for reason in Reason if reason.word], "Why a verdict is UNKNOWN.")]
ClockWord = Annotated[
    str, _one_of([source.word for source in ClockSource], "How the time of exposure was mapped to the host's clock.")
]
Count = Annotated[int, Field(ge=0)]
Timestamp = AwareDatetime
"""RFC 3339 UTC with microseconds."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SchemaVersion = Annotated[int, Field(ge=1)]

BoxPx = tuple[float, float, float, float]
RegionPx = tuple[Count, Count, Count, Count]

__all__ = [
    "BoxPx",
    "ClockWord",
    "Count",
    "Document",
    "Name",
    "ReasonWord",
    "RegionPx",
    "SchemaVersion",
    "Sha256",
    "Timestamp",
    "Verdict",
]
