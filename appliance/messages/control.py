"""What a line controller, a MES or an operator may ask of the publisher, and how it answers.

request         says                                              ok means
part.set        which part passes at a trigger                    its verdict and record will name it
recipe.select   which recipe is used from a trigger on            the inspector has loaded it
model.activate  which model judges a recipe's parts        the inspector has loaded it, and it judges from a moment on
line.count      how many triggers the controller has given        compared with our count
line.resync     which of our triggers is the controller's N-th    counts agree again, verdicts are given again
line.release    go on after a stop request                        ready again, if nothing else is wrong
result.ack      a verdict has been taken                          the next one is no overrun
line.state      how are you                                       the line's state is in the answer
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from appliance.messages.binding import Binding, CameraName, Count, StrictModel

Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]
"""A name from somebody else's books: 1 to 64 characters, none of them a control character."""


class ControlStatus(StrEnum):
    """The answer in one word. Only OK and DUPLICATE mean that what was asked for holds."""

    OK = "ok"
    DUPLICATE = "duplicate"  # the same was said before: nothing changes
    CONFLICT = "conflict"  # contradicts what was said before, which stays
    LATE = "late"  # the trigger has passed
    UNKNOWN = "unknown"  # names something that we don't know
    REFUSED = "refused"  # understood, but can't be done now
    INVALID = "invalid"  # not understood


class _Request(StrictModel):
    id: Annotated[str, Field(max_length=64)] | Count | None = None


class PartSet(_Request):
    """Announces which part passes at a trigger. `recipe` is a check: the part is UNKNOWN if another one is in use."""

    request: Literal["part.set"]
    bind: Binding
    part_id: Label
    job_id: Label | None = None
    lot: Label | None = None
    lane: Label | None = None
    recipe: CameraName | None = None


class RecipeSelect(_Request):
    """Uses another recipe from a named trigger on."""

    request: Literal["recipe.select"]
    recipe: CameraName
    from_: Binding = Field(alias="from")


class LineCount(_Request):
    """Tells the controller's trigger count."""

    request: Literal["line.count"]
    controller_count: Count


class LineResync(_Request):
    """Declares that a trigger (default: the last one, on a line that stands still) is the controller's N-th."""

    request: Literal["line.resync"]
    controller_count: Count
    bind: Binding | None = None


class LineRelease(_Request):
    """Takes a stop request back."""

    request: Literal["line.release"]


class ResultAck(_Request):
    """Says that a verdict has been taken; default: the last one."""

    request: Literal["result.ack"]
    verdict_seq: Count | None = None


class LineStateQuery(_Request):
    """Asks for the line's state."""

    request: Literal["line.state"]


class ModelActivate(_Request):
    """Judges a recipe's parts with another model. For the box's own programs, which have put the bundle to the test."""

    request: Literal["model.activate"]
    recipe: CameraName
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    contract_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    by: Label | None = None
    is_rollback: bool = False


ControlRequest = (
    PartSet | RecipeSelect | ModelActivate | LineCount | LineResync | LineRelease | ResultAck | LineStateQuery
)

CONTROL_REQUEST: TypeAdapter[ControlRequest] = TypeAdapter(Annotated[ControlRequest, Field(discriminator="request")])


def parse_request(content: object) -> ControlRequest:
    """Check a decoded JSON request.

    Raises:
        ValueError: Not a request; the message names the field, what was expected and what was found.
    """
    try:
        return CONTROL_REQUEST.validate_python(content)
    except ValidationError as error:
        raise ValueError(_explain(error)) from None
    except RecursionError:
        raise ValueError("request: nested too deeply") from None


def control_reply(request_id: object, status: ControlStatus, message: str, **more: Any) -> dict[str, Any]:
    """Write an answer; `message` is for people."""
    return {"id": request_id, "status": status.value, "message": message, **more}


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    try:
        found = f"{first['input']!r:.80}"
    except RecursionError:
        found = "something nested deeply"
    key = ".".join(str(part) for part in first["loc"][1:]) or "request"  # the first part is the request's name
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}: {first['msg'].removeprefix('Value error, ')}, got {found}{more}"
