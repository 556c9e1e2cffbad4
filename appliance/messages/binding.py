"""Which trigger a request means: the line's own count, an encoder position or a trigger id, never "the next one"."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CameraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
BindingKey = tuple[str, str, int]


class StrictModel(BaseModel):
    """Frozen data from outside: no key that isn't a field, no value that is only nearly of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EncoderPosition(StrictModel):
    """A frame whose latched counter (`encoder_count` of its view) has this value, give or take a tolerance."""

    camera: CameraName
    count: Count
    tolerance: Annotated[int, Field(ge=0, lt=2**31)] = 0


class TriggerNumber(StrictModel):
    """A trigger by the id that its verdict carries."""

    camera: CameraName
    trigger_id: Count


class Binding(StrictModel):
    """Exactly one of three ways to name a trigger.

    Attributes:
        controller_count: The line controller's own trigger count; means something after a `line.resync`.
    """

    controller_count: Count | None = None
    encoder: EncoderPosition | None = None
    trigger: TriggerNumber | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of controller_count, encoder, trigger; got {given or 'none'}")
        return self

    @property
    def key(self) -> BindingKey:
        """What is named, to look things up by: equal for equal triggers named in the same way."""
        if self.trigger is not None:
            return trigger_key(self.trigger.camera, self.trigger.trigger_id)
        if self.encoder is not None:
            return ("encoder", self.encoder.camera, self.encoder.count)
        assert self.controller_count is not None
        return count_key(self.controller_count)

    def __str__(self) -> str:
        if self.trigger is not None:
            return f"trigger {self.trigger.trigger_id} of {self.trigger.camera}"
        if self.encoder is not None:
            return f"encoder count {self.encoder.count} of {self.encoder.camera}"
        return f"controller count {self.controller_count}"


def trigger_key(camera: str, trigger_id: int) -> BindingKey:
    """The key of a binding by trigger id."""
    return ("trigger", camera, trigger_id)


def count_key(controller_count: int) -> BindingKey:
    """The key of a binding by the controller's count."""
    return ("controller", "", controller_count)
