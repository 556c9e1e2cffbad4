"""The state of the line as controllers and gateways get it."""

from typing import Annotated

from pydantic import WithJsonSchema

from appliance.contracts.document import Count, Document, Name, SchemaVersion, Timestamp
from appliance.contracts.verdict import RecipeReference
from appliance.messages.line import LineError

_ERRORS = ", ".join(f"{error.value} {error.name.lower()}" for error in LineError)
ErrorId = Annotated[
    int,
    WithJsonSchema(
        {
            "type": "integer",
            "enum": [error.value for error in LineError],
            "description": f"The lowest that holds: {_ERRORS}.",
        }
    ),
]


class LineCounters(Document):
    """Counted since the publisher's start."""

    ok: Count
    """Verdicts OK."""
    ng: Count
    """Verdicts NG."""
    unknown: Count
    """Verdicts UNKNOWN."""
    rejects_in_a_row: Count
    """NG and UNKNOWN since the last OK or `line.release`."""
    overruns: Count
    """Verdicts given before the one before was acknowledged."""
    count_mismatches: Count
    """How often our trigger count and the controller's differed."""
    late_findings: Count
    """Findings that came behind their verdict."""
    late_views: Count
    """Views that came behind their part's verdict."""
    parts_announced: Count
    """Announced parts that wait for their trigger."""
    parts_expired: Count
    """Announced parts whose trigger never came."""
    parts_contradicted: Count
    """Announcements that contradicted what was known, or the recipe in use."""


class LineStateMessage(Document):
    """What a controller may rely on before it sends the next part. Sent at each change and twice a second.

    Without a message for 1.5 s the publisher is to be taken as gone: not ready.
    """

    schema_version: SchemaVersion
    """As in `verdict`."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    at: Timestamp
    """RFC 3339 UTC with microseconds."""
    ready: bool
    """Whether a part that comes now can be inspected."""
    not_ready_because: list[str]
    """Sentences for people; empty when ready."""
    stop_requested: bool
    """The line should stop: too many rejects in a row. Until `line.release`."""
    trigger_acknowledged: bool
    """A trigger has been seen whose verdict isn't given yet."""
    result_valid: bool
    """The last verdict may be read; ends with its acknowledgement, or with the next trigger."""
    result_acknowledged: bool
    """The last verdict has been acknowledged by `result.ack`."""
    overrun: bool
    """A verdict was given before the last one was acknowledged; only where acknowledgements are in use."""
    error_id: ErrorId
    """For a PLC's display."""
    counters: LineCounters
    """Since the publisher's start."""
    ledger_epoch: str
    """Verdict ids are unique within it."""
    verdict_seq: Count
    """Of the last verdict."""
    controller_count: Count | None
    """The controller's trigger count as announced last; null when it never was."""
    our_count: Count | None
    """Triggers as we count them, in the controller's numbers once synchronised; null before the first."""
    recipe: RecipeReference
    """In use for the next trigger."""
    is_simulated: bool
    """Every camera is simulated: never on a production topic."""
