"""Frozen data with refused unknown keys: what every configuration model is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
"""A name that is also safe as a file name and as a part of a ZeroMQ topic."""


class ConfinedModel(BaseModel):
    """Frozen data; a key that isn't a field is an error, not a typo that waits."""

    model_config = ConfigDict(extra="forbid", frozen=True)
