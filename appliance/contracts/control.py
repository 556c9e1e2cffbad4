"""Control requests are described by the very models that check them; the answers here."""

from typing import Annotated

from pydantic import Field, WithJsonSchema

from appliance.contracts.document import Count, Document, Timestamp
from appliance.contracts.line_state import LineStateMessage
from appliance.messages import control

ControlRequest = Annotated[control.ControlRequest, Field(discriminator="request")]

StatusWord = Annotated[
    str, WithJsonSchema({"type": "string", "enum": [status.value for status in control.ControlStatus]})
]


class ControlReply(Document):
    """The answer to a control request. Only `ok` and `duplicate` mean that what was asked for holds."""

    id: str | int | None
    """The request's; null when it had none, or when it could not be read."""
    status: StatusWord
    """ok; duplicate: the same was said before; conflict: contradicts what was said before, which stays; late: the
    trigger has passed; unknown: names something that isn't known; refused: understood, but can't be done now;
    invalid: not understood."""
    message: str
    """For people; may be empty."""
    inspection_id: Count | None = None
    """Only to requests that name a trigger, where its inspection is known."""
    our_count: int | None = None
    """Only to line.count and line.resync: triggers as the appliance counts them."""
    state: LineStateMessage | None = None
    """Only to line.state."""
    effective_at: Timestamp | None = None
    """Only to model.activate: parts whose first trigger is exposed from then on are judged with the new model."""
